import { useMemo } from 'react';
import { useLiveJobs } from '../api/live.ts';
import { JobList } from '../jobs/jobs.tsx';
import { Older, usePastJobs } from '../jobs/past-jobs.tsx';
import { Answer, Copyable, Empty, Heading } from '../ui/parts.tsx';

/** Jobs that build specs. */
export function Builds() {
  const live = useLiveJobs();
  const open = useMemo(
    () => live.filter(({ isBuild, state }) => isBuild && state !== 'finished'),
    [live],
  );
  const query = usePastJobs({ builds: 'true' });
  return (
    <>
      <Heading
        title="Builds"
        lead="Specs that hosts build step by step. What a build has done before is not done again."
      />
      <Answer of={query} what="the builds">
        {(past) => {
          const running = new Set(open.map(({ id }) => id));
          const all = [...open, ...past.filter(({ id }) => !running.has(id))];
          if (all.length > 0) {
            return (
              <>
                <JobList jobs={all} why={new Map()} />
                <Older of={query} what="builds" />
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
