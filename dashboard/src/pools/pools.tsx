import { useMemo, useState } from 'react';
import { Link } from '@tanstack/react-router';
import { useQuery } from '@tanstack/react-query';
import type { PoolView, RolloutView } from '../../../src/protocol/api/resources.ts';
import { useWorkers } from '../api/live.ts';
import { pools as poolsQuery, rollouts as rolloutsQuery } from '../api/queries.ts';
import { useMay } from '../api/session.ts';
import { slotOf } from '../fleet/look.ts';
import { count } from '../ui/amounts.ts';
import { Answer, Badge, Empty, Heading, Table } from '../ui/parts.tsx';
import { EditPool } from './edit-pool.tsx';
import { RolloutState } from './rollout.tsx';

/** Every pool: what it should have ready, what it has, who waits. */
export function Pools() {
  const pools = useQuery(poolsQuery);
  const rollouts = useQuery(rolloutsQuery).data?.items ?? [];
  const mayEdit = useMay('operator');
  const [adding, setAdding] = useState(false);
  return (
    <>
      <Heading
        title="Pools"
        lead="Workers that are alike. A job goes to the first pool that takes it."
      >
        {mayEdit && (
          <button type="button" className="primary" onClick={() => setAdding(true)}>
            Add a pool
          </button>
        )}
      </Heading>
      {adding && <EditPool close={() => setAdding(false)} />}
      <Answer of={pools} what="the pools">
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="There is no pool">
              <p>
                Without a pool no job can run. Add one here, or below <code>pools</code> in
                pomona.yaml.
              </p>
            </Empty>
          ) : (
            <PoolTable pools={items} rollouts={rollouts} />
          )
        }
      </Answer>
    </>
  );
}

function PoolTable({
  pools,
  rollouts,
}: {
  readonly pools: readonly PoolView[];
  readonly rollouts: readonly RolloutView[];
}) {
  const workers = useWorkers();
  const counts = useMemo(() => {
    const by = new Map<string, Record<string, number>>();
    for (const worker of workers) {
      const one = by.get(worker.pool) ?? {};
      const slot = slotOf(worker);
      one[slot] = (one[slot] ?? 0) + 1;
      by.set(worker.pool, one);
    }
    return by;
  }, [workers]);
  const of = (pool: PoolView, slot: string) => counts.get(pool.spec.name)?.[slot] ?? 0;
  return (
    <Table
      label="Pools"
      rows={pools}
      keyOf={({ spec }) => spec.name}
      columns={[
        {
          title: 'Pool',
          cell: ({ spec }) => (
            <Link to="/pools/$name" params={{ name: spec.name }}>
              {spec.name}
            </Link>
          ),
        },
        { title: 'Image', cell: ({ image }) => image },
        { title: 'Kind', cell: ({ spec }) => spec.vm ?? spec.sandbox ?? spec.kind },
        {
          title: 'Ready',
          number: true,
          cell: (pool) => {
            const ready = of(pool, 'ready');
            const text = `${ready} of ${pool.spec.ready}`;
            return ready < pool.spec.ready ? <Badge tone="wait">{text}</Badge> : text;
          },
        },
        { title: 'Made now', cell: (pool) => of(pool, 'preparing'), number: true },
        { title: 'Busy', cell: (pool) => of(pool, 'running'), number: true },
        { title: 'At most', cell: ({ spec }) => spec.max, number: true },
        {
          title: 'Jobs waiting',
          number: true,
          cell: ({ queued, spec }) =>
            queued === 0 ? (
              0
            ) : (
              <Link to="/jobs" search={{ state: 'queued', pool: spec.name }}>
                {queued}
              </Link>
            ),
        },
        { title: 'Labels', cell: ({ spec }) => spec.labels.join(', ') },
        {
          title: 'Trust',
          cell: ({ spec }) =>
            spec.trust === 'untrusted' ? <Badge tone="wait">strangers’ jobs</Badge> : 'trusted',
        },
        {
          title: 'Roll-out',
          cell: ({ spec }) => {
            const rollout = rollouts.find(({ pool }) => pool === spec.name);
            return rollout && <RolloutState rollout={rollout} />;
          },
        },
        {
          title: 'From',
          cell: ({ origin }) =>
            ({ config: 'pomona.yaml', api: 'here', builtin: 'the program' })[origin],
        },
      ]}
    />
  );
}

export function warmText(warm: number, cold: number): string {
  const all = warm + cold;
  return all === 0
    ? 'no job yet'
    : `${count(warm, 'hit')}, ${count(cold, 'miss', 'misses')} (${Math.round((warm / all) * 100)} %)`;
}
