import { useNavigate, useSearch } from '@tanstack/react-router';
import { useQuery } from '@tanstack/react-query';
import type { Capacity as CapacityView } from '../../../src/protocol/api/history-resources.ts';
import { capacity as capacityQuery } from '../api/queries.ts';
import { percent } from '../ui/amounts.ts';
import { Hours } from '../ui/hours.tsx';
import { Chart } from '../ui/lazy-chart.tsx';
import { Figure } from '../ui/figure.tsx';
import { Answer, Empty, Heading, Meter, Table } from '../ui/parts.tsx';
import { Ago, span } from '../ui/time.tsx';
import { warmText } from '../pools/pools.tsx';
import { Heat } from './heat.tsx';
import { Plan } from './plan.tsx';

const SHOWN_HOSTS = 100;

/** How long jobs wait, how hosts are used, what it costs, and how it would be with others. */
export function Capacity() {
  const { hours = '26' } = useSearch({ from: '/frame/capacity' });
  const navigate = useNavigate({ from: '/capacity' });
  const query = useQuery(capacityQuery(Number(hours)));
  return (
    <>
      <Heading
        title="Capacity and cost"
        lead="How long jobs waited for a worker, and what the hosts did meanwhile."
      />
      <Hours
        hours={hours}
        set={(value) => void navigate({ search: { hours: value }, replace: true })}
      />
      <Answer of={query} what="the past">
        {(data) =>
          data.wait.every(({ jobs }) => jobs === 0) && data.hosts.every(({ use }) => use === 0) ? (
            <Empty title="No job ran in this time">
              <p>Run some, or look further back.</p>
            </Empty>
          ) : (
            <Past data={data} />
          )
        }
      </Answer>
    </>
  );
}

function Past({ data }: { readonly data: CapacityView }) {
  const at = data.wait.map((each) => each.at);
  const busy = at.map((_, index) =>
    data.pools.reduce((sum, { busy: each }) => sum + (each[index] ?? 0), 0),
  );
  const seconds = (ms: number) => ms / 1_000;
  const mean = busy.reduce((sum, each) => sum + each, 0) / Math.max(1, busy.length);
  const jobs = data.pools.reduce((sum, pool) => sum + pool.jobs, 0);
  const hosts = data.hosts.toSorted((a, b) => b.use - a.use);
  const withCourse = hosts.filter(({ course }) => course !== undefined);
  return (
    <>
      {data.cut && (
        <p className="note">There were more jobs than are looked at: the oldest are left out.</p>
      )}
      <dl className="figures">
        <Figure name="Jobs handed to workers">{jobs.toLocaleString()}</Figure>
        <Figure name="Use of all places">
          {percent(data.slots === 0 ? 0 : mean / data.slots)}
        </Figure>
        {data.cost !== undefined && (
          <Figure name="Cost">{money(data.cost.total, data.cost.currency)}</Figure>
        )}
        {data.cost?.perJob !== undefined && (
          <Figure name="Cost of a job">{money(data.cost.perJob, data.cost.currency)}</Figure>
        )}
      </dl>
      <div className="cards wide">
        <section className="card">
          <Chart
            title="Use of the fleet"
            at={at}
            series={[
              { name: 'places with a job', colour: 1, values: busy, area: true, steps: true },
              { name: 'places', colour: 2, values: at.map(() => data.slots), dashed: true },
            ]}
          />
        </section>
        <section className="card">
          <Chart
            title="How long jobs waited"
            at={at}
            format={(value) => span(value * 1_000)}
            series={[
              {
                name: 'p50',
                colour: 3,
                values: data.wait.map(({ p50, jobs: n }) => (n === 0 ? null : seconds(p50))),
              },
              {
                name: 'p95',
                colour: 2,
                values: data.wait.map(({ p95, jobs: n }) => (n === 0 ? null : seconds(p95))),
              },
              {
                name: 'p99',
                colour: 5,
                values: data.wait.map(({ p99, jobs: n }) => (n === 0 ? null : seconds(p99))),
              },
            ]}
          />
        </section>
      </div>
      <section className="card" aria-labelledby="by-pool">
        <h2 id="by-pool">Pools</h2>
        {data.pools.length > 0 && data.pools.length <= 6 && (
          <Chart
            title="Use of each pool"
            at={at}
            series={data.pools.map(({ pool, busy: values }, index) => ({
              name: pool,
              colour: index + 1,
              values,
              steps: true,
            }))}
          />
        )}
        <Table
          label="Pools"
          rows={data.pools}
          keyOf={({ pool }) => pool}
          columns={[
            { title: 'Pool', cell: ({ pool }) => pool },
            { title: 'Jobs', cell: ({ jobs: n }) => n, number: true },
            { title: 'Wait p50', cell: ({ wait }) => span(wait.p50), number: true },
            { title: 'p95', cell: ({ wait }) => span(wait.p95), number: true },
            { title: 'p99', cell: ({ wait }) => span(wait.p99), number: true },
            { title: 'Longest', cell: ({ wait }) => span(wait.longest), number: true },
            { title: 'Warm workers', cell: ({ warm, cold }) => warmText(warm, cold) },
          ]}
        />
      </section>
      <section className="card" aria-labelledby="by-host">
        <h2 id="by-host">Hosts</h2>
        {withCourse.length > 0 && <Heat hosts={withCourse} from={data.from} to={data.to} />}
        {hosts.length > SHOWN_HOSTS && (
          <p className="note">The {SHOWN_HOSTS} that are used most are listed.</p>
        )}
        <Table
          label="Use of hosts"
          rows={hosts.slice(0, SHOWN_HOSTS)}
          keyOf={({ name }) => name}
          columns={[
            { title: 'Host', cell: ({ name }) => name },
            { title: 'Places', cell: ({ slots }) => slots, number: true },
            { title: 'Use', cell: ({ use }) => percent(use), number: true },
            {
              title: '',
              cell: ({ name, use }) => (
                <Meter share={use} label={`${name} is used ${percent(use)}`} />
              ),
            },
          ]}
        />
      </section>
      <section className="card" aria-labelledby="cost">
        <h2 id="cost">Cost</h2>
        {data.cost === undefined ? (
          <p>
            Say what hosts cost an hour below <code>prices</code> in pomona.yaml, and it is counted
            here: each host from when it joined until its rent ends.
          </p>
        ) : (
          <Table
            label="Cost of hosts"
            rows={data.cost.hosts.toSorted((a, b) => b.cost - a.cost).slice(0, SHOWN_HOSTS)}
            keyOf={({ name }) => name}
            columns={[
              { title: 'Host', cell: ({ name }) => name },
              { title: 'Hours', cell: ({ hours: each }) => each.toFixed(1), number: true },
              {
                title: 'An hour',
                cell: ({ perHour }) => money(perHour, data.cost?.currency ?? ''),
                number: true,
              },
              {
                title: 'Cost',
                cell: ({ cost }) => money(cost, data.cost?.currency ?? ''),
                number: true,
              },
              {
                title: 'Rent ends',
                cell: ({ endsAt }) => endsAt !== undefined && <Ago at={endsAt} />,
              },
            ]}
          />
        )}
      </section>
      <Plan />
    </>
  );
}

function money(amount: number, currency: string): string {
  return `${amount.toLocaleString(undefined, { minimumFractionDigits: 2, maximumFractionDigits: amount < 1 ? 4 : 2 })} ${currency}`;
}
