import type { JobView } from '../../../src/protocol/api/resources.ts';
import type { Timeline } from '../../../src/protocol/api/history-resources.ts';

/** A part of the life of a job or of its worker. Wall-clock ms. */
export interface Phase {
  readonly of: 'job' | 'worker';
  readonly name: string;
  readonly from: number;
  /** Absent: it goes on. */
  readonly to?: number;
}

type JobTimes = Pick<JobView, 'submittedAt' | 'assignedAt' | 'startedAt' | 'finishedAt' | 'state'>;

/** States of a worker before it is given a job, and after, as people call them. */
const WORKER_WORDS: Readonly<Record<string, string>> = {
  requested: 'placed',
  fetching: 'fetching',
  cloning: 'cloning',
  booting: 'booting',
  ready: 'ready',
  running: 'running',
  finishing: 'finishing',
  kept: 'kept',
};

/**
 * What a job waited for and when: its own phases, and those of the worker that it was given to, in the
 * order in which they began. A worker that was ready before has its phases before the job's.
 */
export function phasesOf(job: JobTimes, { events }: Pick<Timeline, 'events'>): Phase[] {
  const phases: Phase[] = [];
  const add = (of: Phase['of'], name: string, from: number, to: number | undefined) =>
    void phases.push({ of, name, from, ...(to === undefined ? {} : { to }) });
  const { submittedAt, assignedAt, startedAt, finishedAt } = job;
  add('job', 'queued', submittedAt, assignedAt ?? finishedAt);
  if (assignedAt !== undefined) add('job', 'starting', assignedAt, startedAt ?? finishedAt);
  if (startedAt !== undefined) add('job', 'running', startedAt, finishedAt);
  const steps = events.filter(({ of, state }) => of === 'worker' && state !== 'released');
  for (const [index, { state, at }] of steps.entries()) {
    const name = WORKER_WORDS[state];
    const next = steps.slice(index + 1).find((each) => each.state !== state)?.at;
    if (name !== undefined)
      add('worker', name, at, next ?? (state === 'finishing' ? finishedAt : undefined));
  }
  return phases.toSorted((a, b) => a.from - b.from || a.of.localeCompare(b.of));
}

/** From the first phase's beginning to the last one's end, or until now. */
export function extentOf(
  phases: readonly Phase[],
  now: number,
): { readonly from: number; readonly to: number } {
  const from = Math.min(...phases.map((phase) => phase.from));
  const to = Math.max(...phases.map((phase) => phase.to ?? now));
  return { from, to: Math.max(to, from + 1) };
}
