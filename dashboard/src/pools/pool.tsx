import { useMemo, useState } from 'react';
import { useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { useQuery } from '@tanstack/react-query';
import { call } from '../api/client.ts';
import { useWorkers } from '../api/live.ts';
import {
  images as imagesQuery,
  poolHistory,
  pools as poolsQuery,
  rollouts as rolloutsQuery,
  useAction,
} from '../api/queries.ts';
import { useMay } from '../api/session.ts';
import { Dialog } from '../ui/dialog.tsx';
import { Chart } from '../ui/lazy-chart.tsx';
import { Answer, Empty, Heading } from '../ui/parts.tsx';
import { WorkerTable } from '../workers/worker-table.tsx';
import { EditPool } from './edit-pool.tsx';
import { warmText } from './pools.tsx';
import { Rollout, StartRollout } from './rollout.tsx';
import { Hours } from '../ui/hours.tsx';

/** One pool: its ready workers against the demand, its roll-out, its workers. */
export function Pool() {
  const { name } = useParams({ from: '/frame/pools/$name' });
  const { hours = '26' } = useSearch({ from: '/frame/pools/$name' });
  const navigate = useNavigate({ from: '/pools/$name' });
  const pools = useQuery(poolsQuery);
  const rollout = useQuery(rolloutsQuery).data?.items.find((each) => each.pool === name);
  const imageNames = useQuery(imagesQuery).data?.items.map((each) => each.name) ?? [];
  const history = useQuery(poolHistory(name, Number(hours)));
  const workers = useWorkers();
  const mine = useMemo(() => workers.filter(({ pool }) => pool === name), [workers, name]);
  const mayEdit = useMay('operator');
  const [asking, setAsking] = useState<'edit' | 'remove'>();
  const remove = useAction(
    () => call('removePool', 'DELETE', '/pools/{name}', { params: { name } }),
    {
      ...{ done: () => `Pool ${name} is removed.`, stale: ['pools'] },
    },
  );
  return (
    <Answer of={pools} what="the pool">
      {({ items }) => {
        const pool = items.find(({ spec }) => spec.name === name);
        if (pool === undefined) return <Empty title={`There is no pool ${name}`} />;
        const { spec } = pool;
        return (
          <>
            <Heading
              title={name}
              lead={`${spec.ready} ready, ${spec.max} at most, from image ${pool.image}. ${pool.queued} jobs wait for it now.`}
            >
              {mayEdit && <StartRollout pool={name} images={imageNames} />}
              {mayEdit && pool.origin === 'api' && (
                <>
                  <button type="button" onClick={() => setAsking('edit')}>
                    Change
                  </button>
                  <button type="button" className="danger" onClick={() => setAsking('remove')}>
                    Remove
                  </button>
                </>
              )}
            </Heading>
            {pool.origin === 'config' && (
              <p className="soft">It comes from pomona.yaml, and is changed there.</p>
            )}
            {asking === 'edit' && <EditPool pool={pool} close={() => setAsking(undefined)} />}
            {asking === 'remove' && (
              <Dialog
                title={`Remove pool ${name}?`}
                button="Remove the pool"
                danger
                close={() => setAsking(undefined)}
                act={async () => {
                  await remove.mutateAsync(undefined);
                  await navigate({ to: '/pools' });
                }}
              >
                <p>
                  Its idle workers are destroyed, jobs that run end by themselves, and jobs that
                  wait for it wait until there is a pool that takes them.
                </p>
              </Dialog>
            )}
            {rollout !== undefined && <Rollout rollout={rollout} />}
            <section className="card" aria-labelledby="over-time">
              <h2 id="over-time">Over time</h2>
              <Hours
                hours={hours}
                set={(value) => void navigate({ search: { hours: value }, replace: true })}
              />
              <Answer of={history} what="how it was">
                {({ samples, demand }) => {
                  const warm = demand.reduce((sum, each) => sum + each.warm, 0);
                  const cold = demand.reduce((sum, each) => sum + each.cold, 0);
                  return (
                    <>
                      <p>
                        Jobs that found a worker ready: <strong>{warmText(warm, cold)}</strong>
                      </p>
                      <div className="cards wide">
                        <Chart
                          title="Workers and demand"
                          at={samples.map(({ at }) => at)}
                          series={[
                            {
                              name: 'ready',
                              colour: 3,
                              values: samples.map(({ ready }) => ready),
                              area: true,
                              steps: true,
                            },
                            {
                              name: 'to be ready',
                              colour: 3,
                              values: samples.map(({ wantReady }) => wantReady),
                              dashed: true,
                              steps: true,
                            },
                            {
                              name: 'busy',
                              colour: 1,
                              values: samples.map(({ busy }) => busy),
                              steps: true,
                            },
                            {
                              name: 'jobs waiting',
                              colour: 5,
                              values: samples.map(({ queued }) => queued),
                              steps: true,
                            },
                            {
                              name: 'at most',
                              colour: 2,
                              values: samples.map(({ max }) => max),
                              dashed: true,
                              steps: true,
                            },
                          ]}
                        />
                        <Chart
                          title="Jobs by whether a worker was ready"
                          at={demand.map(({ at }) => at)}
                          series={[
                            {
                              name: 'hits',
                              colour: 3,
                              values: demand.map((each) => each.warm),
                              area: true,
                              steps: true,
                            },
                            {
                              name: 'misses',
                              colour: 5,
                              values: demand.map((each) => each.cold),
                              steps: true,
                            },
                          ]}
                        />
                      </div>
                    </>
                  );
                }}
              </Answer>
            </section>
            <section className="card" aria-labelledby="pool-workers">
              <h2 id="pool-workers">Workers</h2>
              {mine.length === 0 ? (
                <p className="soft">None now.</p>
              ) : (
                <WorkerTable workers={mine} />
              )}
            </section>
          </>
        );
      }}
    </Answer>
  );
}
