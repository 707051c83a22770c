import { useId, useState, type FormEvent } from 'react';
import { useMutation } from '@tanstack/react-query';
import type { PlanAnswer, PlanQuestion } from '../../../src/protocol/api/history-resources.ts';
import { call } from '../api/client.ts';
import { percent } from '../ui/amounts.ts';
import { Chart } from '../ui/lazy-chart.tsx';
import { Failed, Table } from '../ui/parts.tsx';
import { span } from '../ui/time.tsx';

/** Asks the simulator: the same decisions, the jobs of the past, another fleet. */
export function Plan() {
  const plan = useMutation({
    mutationFn: (body: Partial<PlanQuestion>) => call('planFleet', 'POST', '/plan', { body }),
  });
  const [kind, setKind] = useState<'target' | 'hosts'>('target');
  const heading = useId();
  const ask = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const number = (name: string) => Number(form.get(name));
    plan.mutate({
      ...{
        hours: number('hours'),
        slots: number('slots'),
        ready: number('ready'),
        makeMs: number('make') * 1_000,
      },
      ...(kind === 'target' ? { target: String(form.get('target')) } : { hosts: number('hosts') }),
    });
  };
  return (
    <section className="card" aria-labelledby={heading}>
      <h2 id={heading}>What if?</h2>
      <p className="soft">
        The jobs of the past are played on another fleet, with the decisions of this program and
        without trouble.
      </p>
      <form className="filters" onSubmit={ask}>
        <label>
          Jobs of the last hours
          <input name="hours" type="number" min="1" max="720" defaultValue="26" required />
        </label>
        <label>
          Question
          <select
            value={kind}
            onChange={({ target }) => setKind(target.value as 'target' | 'hosts')}
          >
            <option value="target">How many hosts for a wait?</option>
            <option value="hosts">How long on so many hosts?</option>
          </select>
        </label>
        {kind === 'target' ? (
          <label>
            Wait
            <input
              name="target"
              defaultValue="p95 wait < 2m"
              pattern="\s*(p50|p95|p99|longest)\s+wait\s*<.+"
              title="such as p95 wait < 2m"
              required
            />
          </label>
        ) : (
          <label>
            Hosts
            <input name="hosts" type="number" min="1" max="10000" defaultValue="10" required />
          </label>
        )}
        <label>
          Places of a host
          <input name="slots" type="number" min="1" max="1000" defaultValue="2" required />
        </label>
        <label>
          Kept ready, %
          <input name="ready" type="number" min="0" max="100" defaultValue="50" required />
        </label>
        <label>
          Seconds to make a worker
          <input name="make" type="number" min="0" max="86400" defaultValue="60" required />
        </label>
        <button type="submit" className="primary" disabled={plan.isPending}>
          {plan.isPending ? 'Playing' : 'Ask'}
        </button>
      </form>
      {plan.error !== null && <Failed error={plan.error} />}
      {plan.data !== undefined && <Outcome answer={plan.data} />}
    </section>
  );
}

function Outcome({ answer }: { readonly answer: PlanAnswer }) {
  const { tried, hosts, summary } = answer;
  const shown = tried.find((each) => each.hosts === hosts) ?? tried.at(-1);
  const minutes = (ms: number) => ms / 60_000;
  return (
    <>
      <p role="status">
        <strong>{summary}</strong>
      </p>
      {tried.length > 1 && (
        <Chart
          title="How long jobs wait, by hosts"
          across="Hosts"
          time={false}
          at={tried.map((each) => each.hosts)}
          format={(value) => span(value * 60_000)}
          series={(['p50', 'p95', 'p99'] as const).map((name, index) => ({
            ...{
              name,
              colour: [3, 2, 5][index] ?? 1,
              values: tried.map(({ wait }) => minutes(wait[name])),
            },
          }))}
        />
      )}
      {shown !== undefined && (
        <Chart
          title={`Jobs on ${shown.hosts} hosts`}
          across="Hours"
          time={false}
          at={shown.course.map(({ at }) => at / 3_600_000)}
          series={[
            {
              name: 'running',
              colour: 1,
              values: shown.course.map(({ running }) => running),
              area: true,
              steps: true,
            },
            {
              name: 'waiting',
              colour: 5,
              values: shown.course.map(({ waiting }) => waiting),
              steps: true,
            },
          ]}
        />
      )}
      <Table
        label="What was tried"
        rows={tried}
        keyOf={(each) => String(each.hosts)}
        columns={[
          { title: 'Hosts', cell: (each) => each.hosts, number: true },
          { title: 'Wait p50', cell: ({ wait }) => span(wait.p50), number: true },
          { title: 'p95', cell: ({ wait }) => span(wait.p95), number: true },
          { title: 'p99', cell: ({ wait }) => span(wait.p99), number: true },
          { title: 'Longest', cell: ({ wait }) => span(wait.longest), number: true },
          { title: 'Use', cell: ({ use }) => percent(use), number: true },
        ]}
      />
    </>
  );
}
