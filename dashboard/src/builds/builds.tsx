import { useInfiniteQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { call } from '../api/client.ts';
import { useLiveJobs } from '../api/live.ts';
import { JobList } from '../jobs/jobs.tsx';
import { Answer, Copyable, Empty, Heading } from '../ui/parts.tsx';

const PAGE = 100;

/** Jobs that build specs. */
export function Builds() {
  const live = useLiveJobs();
  const open = useMemo(
    () => live.filter(({ isBuild, state }) => isBuild && state !== 'finished'),
    [live],
  );
  const query = useInfiniteQuery({
    queryKey: ['past-jobs', 'builds'],
    queryFn: ({ pageParam, signal }) =>
      call('listJobs', 'GET', '/jobs', {
        query: {
          limit: PAGE,
          state: 'finished' as const,
          builds: 'true' as const,
          ...(pageParam === '' ? {} : { after: pageParam }),
        },
        signal,
      }),
    initialPageParam: '',
    getNextPageParam: ({ next }) => next,
    refetchInterval: 15_000,
  });
  return (
    <>
      <Heading
        title="Builds"
        lead="Specs that hosts build step by step. What a build has done before is not done again."
      />
      <Answer of={query} what="the builds">
        {({ pages }) => {
          const past = pages
            .flatMap(({ items }) => items)
            .map(({ command, title, ranIn, pool, ...same }) => ({
              ...same,
              title: title ?? command.join(' '),
              pool: ranIn ?? pool,
            }));
          const running = new Set(open.map(({ id }) => id));
          const all = [...open, ...past.filter(({ id }) => !running.has(id))];
          if (all.length > 0) {
            return (
              <>
                <JobList jobs={all} why={new Map()} />
                {query.hasNextPage && (
                  <button type="button" onClick={() => void query.fetchNextPage()}>
                    Show older builds
                  </button>
                )}
              </>
            );
          }
          return (
            <Empty title="Nothing was built yet">
              <p>A build runs the steps of a spec on the host that has most of them already:</p>
              <Copyable label="A command that builds" text="pomona build --remote spec.yaml" />
              <p>
                It needs a pool of the kind <code>build</code>; there is one unless pomona.yaml
                names other pools.
              </p>
            </Empty>
          );
        }}
      </Answer>
    </>
  );
}
