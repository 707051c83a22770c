import { phaseOf, type RunnerPhase } from '../../domain/ci/runner-phase.ts';
import type { CiRunnerRow, RunnerJobRow } from '../../db/queries/ci/runners.ts';

/** The phase of a runner by its rows; `runner` is that of the job's last hand-over, if it has one. */
export function rowPhase(
  job: Pick<RunnerJobRow, 'state' | 'cancel_requested'>,
  runner: CiRunnerRow | undefined,
): RunnerPhase {
  return phaseOf({
    jobState: job.state,
    preparedAt: runner?.prepared_at,
    seenAt: runner?.seen_at ?? undefined,
    tookAt: runner?.took_at ?? undefined,
    // One that was asked to end is no capacity any more.
    leaving: runner?.state === 'leaving' || job.cancel_requested === 1,
  });
}
