import { useDeferredValue, useMemo, useRef } from 'react';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useQuery } from '@tanstack/react-query';
import { useVirtualizer } from '@tanstack/react-virtual';
import { useLiveJobs, useLiveStatus } from '../api/live.ts';
import type { LiveJob } from '../api/live-store.ts';
import { pools, queue } from '../api/queries.ts';
import { jobState } from '../fleet/look.ts';
import { count } from '../ui/amounts.ts';
import { Choice } from '../ui/choice.tsx';
import { Answer, Badge, Copyable, Empty, Heading, Loading } from '../ui/parts.tsx';
import { Search } from '../ui/search.tsx';
import { Ago, Since, span } from '../ui/time.tsx';
import { Older, usePastJobs } from './past-jobs.tsx';

const STATES = ['queued', 'running', 'finished'] as const;
const OUTCOMES = ['succeeded', 'failed', 'timed-out', 'cancelled', 'lost'] as const;
const ROW_PX = 38;

/** Jobs that wait and run, live; and those that ended, as far back as they are kept. */
export function Jobs() {
  const search = useSearch({ from: '/frame/jobs' });
  const navigate = useNavigate({ from: '/jobs' });
  const poolNames = useQuery(pools).data?.items.map(({ spec }) => spec.name) ?? [];
  const { state, outcome, pool, host, q } = search;
  const set = (change: object) =>
    void navigate({ search: (before) => ({ ...before, ...change }), replace: true });
  const past = state === 'finished' || outcome !== undefined;
  return (
    <>
      <Heading title="Jobs" lead={<Lead />} />
      <div className="filters" role="search">
        <Search value={q} placeholder="title or id" set={(value) => set({ q: value })} />
        <Choice
          label="State"
          value={state}
          options={STATES}
          none="waiting and running"
          set={(value) => set({ state: value, ...(value === 'finished' ? {} : { outcome: '' }) })}
        />
        {past && (
          <Choice
            label="Outcome"
            value={outcome}
            options={OUTCOMES}
            none="all"
            set={(value) => set({ outcome: value, state: 'finished' })}
          />
        )}
        <Choice
          label="Pool"
          value={pool}
          options={poolNames}
          none="all"
          set={(value) => set({ pool: value })}
        />
        {host !== undefined && (
          <button type="button" onClick={() => set({ host: '' })}>
            Only host {host}: show all
          </button>
        )}
      </div>
      {past ? <PastJobs /> : <OpenJobs />}
    </>
  );
}

function Lead() {
  const jobs = useLiveJobs();
  const queued = jobs.filter(({ state }) => state === 'queued').length;
  const running = jobs.filter(({ state }) => state === 'running' || state === 'assigned').length;
  return (
    <>
      {count(queued, 'job waits', 'jobs wait')}, {running} {running === 1 ? 'runs' : 'run'} now.
    </>
  );
}

function OpenJobs() {
  const { state, pool, host, q } = useSearch({ from: '/frame/jobs' });
  const jobs = useLiveJobs();
  const status = useLiveStatus();
  const reasons = useQuery(queue).data?.items;
  const why = useMemo(
    () => new Map(reasons?.map(({ jobId, summary }) => [jobId, summary])),
    [reasons],
  );
  const words = useDeferredValue(q)?.toLowerCase();
  const shown = useMemo(() => {
    const open = jobs.filter(
      (job) =>
        job.state !== 'finished' &&
        (state === undefined || (state === 'queued') === (job.state === 'queued')) &&
        (pool === undefined || job.pool === pool) &&
        (host === undefined || job.hostName === host) &&
        (words === undefined || `${job.title} ${job.id}`.toLowerCase().includes(words)),
    );
    // Those that run first; those that wait in the order in which they came.
    return open.toSorted(
      (a, b) =>
        Number(a.state === 'queued') - Number(b.state === 'queued') ||
        a.submittedAt - b.submittedAt,
    );
  }, [jobs, state, pool, host, words]);
  if (shown.length > 0) return <JobList jobs={shown} why={why} />;
  if (status === 'connecting') return <Loading what="the jobs" />;
  return (
    <Empty title="No job waits or runs">
      <p>Jobs come from your CI systems, or from the command line:</p>
      <Copyable label="A command that submits a job" text="pomona run -- uname -a" />
      <p className="actions">
        <Link to="/jobs" search={{ state: 'finished' }} className="button">
          Look at jobs that ended
        </Link>
        <Link to="/admin" search={{ tab: 'integrations' }} className="button">
          See the integrations
        </Link>
      </p>
    </Empty>
  );
}

function PastJobs() {
  const { outcome, pool, host, q } = useSearch({ from: '/frame/jobs' });
  const wanted = useDeferredValue(q);
  const query = usePastJobs({
    ...(outcome === undefined ? {} : { outcome: outcome as (typeof OUTCOMES)[number] }),
    ...(pool === undefined ? {} : { pool }),
    ...(host === undefined ? {} : { host }),
    ...(wanted === undefined ? {} : { search: wanted }),
  });
  return (
    <Answer of={query} what="the jobs">
      {(jobs) => {
        if (jobs.length === 0) {
          return (
            <Empty title="No job that ended is like that">
              <p>
                Jobs are kept for as long as `retention.jobs` in pomona.yaml says; 30 days unless it
                is changed.
              </p>
            </Empty>
          );
        }
        return (
          <>
            <JobList jobs={jobs} why={new Map()} />
            <Older of={query} what="jobs" />
          </>
        );
      }}
    </Answer>
  );
}

/** Any number of jobs; only those in sight are drawn. */
export function JobList({
  jobs,
  why,
}: {
  readonly jobs: readonly LiveJob[];
  readonly why: ReadonlyMap<string, string>;
}) {
  const list = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: jobs.length,
    getScrollElement: () => list.current,
    estimateSize: () => ROW_PX,
    overscan: 10,
    getItemKey: (index) => jobs[index]?.id ?? index,
  });
  return (
    <div
      className="long"
      ref={list}
      role="table"
      aria-label="Jobs"
      aria-rowcount={jobs.length + 1}
      tabIndex={0}
    >
      <div role="rowgroup" className="head">
        <div role="row" aria-rowindex={1} className="job-row head">
          {['State', 'Job', 'Pool', 'Host', 'Time', 'Why'].map((title) => (
            <span key={title} role="columnheader">
              {title}
            </span>
          ))}
        </div>
      </div>
      <div role="rowgroup" className="body" style={{ height: virtual.getTotalSize() }}>
        {virtual.getVirtualItems().map(({ index, key, start }) => {
          const job = jobs[index];
          if (job === undefined) return null;
          const reason = why.get(job.id) ?? job.reason;
          const { tone, word } = jobState(job);
          return (
            <div
              key={key}
              role="row"
              aria-rowindex={index + 2}
              className="job-row"
              style={{ height: ROW_PX, transform: `translateY(${start}px)` }}
            >
              <span role="cell">
                <Badge tone={tone}>{word}</Badge>
              </span>
              <span role="cell">
                <Link to="/jobs/$id" params={{ id: job.id }} title={job.title}>
                  {job.title}
                </Link>
              </span>
              <span role="cell">{job.pool ?? job.labels.join(', ')}</span>
              <span role="cell">{job.hostName ?? ''}</span>
              <span role="cell">
                <JobTime job={job} />
              </span>
              <span role="cell" title={reason}>
                {reason ?? ''}
              </span>
            </div>
          );
        })}
      </div>
    </div>
  );
}

/** How long it waits or runs; when it ended, and how long it took. */
function JobTime({ job }: { readonly job: LiveJob }) {
  if (job.finishedAt !== undefined) {
    const from = job.startedAt ?? job.finishedAt;
    return (
      <>
        {span(job.finishedAt - from)}, <Ago at={job.finishedAt} />
      </>
    );
  }
  return <Since at={job.startedAt ?? job.submittedAt} />;
}
