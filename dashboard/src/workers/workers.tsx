import { useMemo } from 'react';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useLiveStatus, useWorkers } from '../api/live.ts';
import { count } from '../ui/amounts.ts';
import { Choice } from '../ui/choice.tsx';
import { Empty, Heading, Loading } from '../ui/parts.tsx';
import { Search } from '../ui/search.tsx';
import { WorkerTable } from './worker-table.tsx';

/** More are not drawn at once: the filters find them. */
const SHOWN = 300;

export function Workers() {
  const { pool, state, q } = useSearch({ from: '/frame/workers' });
  const navigate = useNavigate({ from: '/workers' });
  const workers = useWorkers();
  const status = useLiveStatus();
  const shown = useMemo(
    () =>
      workers.filter(
        (each) =>
          (pool === undefined || each.pool === pool) &&
          (state === undefined || each.state === state) &&
          (q === undefined || `${each.id} ${each.hostName} ${each.image}`.includes(q)),
      ),
    [workers, pool, state, q],
  );
  if (workers.length === 0) {
    if (status === 'connecting') return <Loading what="the workers" />;
    return (
      <Empty title="There are no workers">
        <p>
          Workers are made ahead for pools that keep some <code>ready</code>, and else when a job
          asks for one.
        </p>
        <Link to="/pools" className="button">
          Look at the pools
        </Link>
      </Empty>
    );
  }
  const set = (change: object) =>
    void navigate({ search: (before) => ({ ...before, ...change }), replace: true });
  return (
    <>
      <Heading
        title="Workers"
        lead={`${count(shown.length, 'worker')} of ${workers.length}. Each is one fresh machine, for one job.`}
      />
      <div className="filters" role="search">
        <Search value={q} placeholder="worker, host, image" set={(value) => set({ q: value })} />
        <Choice
          label="Pool"
          value={pool}
          options={valuesOf(workers.map((each) => each.pool))}
          set={(value) => set({ pool: value })}
        />
        <Choice
          label="State"
          value={state}
          options={valuesOf(workers.map((each) => each.state))}
          set={(value) => set({ state: value })}
        />
      </div>
      {shown.length > SHOWN && (
        <p className="note">The first {SHOWN} are shown; search for the others.</p>
      )}
      <WorkerTable workers={shown.slice(0, SHOWN)} />
    </>
  );
}

function valuesOf(values: readonly string[]): string[] {
  return [...new Set(values)].toSorted();
}
