import type { WorkerGoal } from '../domain/worker.ts';

/**
 * What there is of a worker on this host, read off its files and processes:
 *
 * | state      | meaning                                                              |
 * |------------|----------------------------------------------------------------------|
 * | absent     | nothing                                                              |
 * | unfinished | making it was begun and not completed (this process is not at it)    |
 * | ready      | it waits for a job                                                   |
 * | running    | it was given a job that has not ended                                |
 * | ended      | the job ended; log and artifacts are not delivered yet               |
 * | delivered  | the controller has log and artifacts                                 |
 * | broken     | it failed; nothing can be delivered                                  |
 */
export const LOCAL_STATES = [
  'absent',
  'unfinished',
  'ready',
  'running',
  'ended',
  'delivered',
  'broken',
] as const;
export type LocalState = (typeof LOCAL_STATES)[number];

/** `unknown`: the controller has not spoken since this agent started. */
export const GOALS = ['unknown', 'ready', 'run', 'cancel', 'destroyed'] as const;
export type Goal = WorkerGoal | 'unknown';

/**
 * | action    | what the agent does                                        |
 * |-----------|------------------------------------------------------------|
 * | wait      | nothing, until something changes                           |
 * | make      | clone the image, start the environment                     |
 * | give-up   | report it failed; it is destroyed when the controller says |
 * | hand-over | give it its job                                            |
 * | cancel    | have the job ended                                         |
 * | deliver   | send what is left of the log, and the artifacts            |
 * | destroy   | remove all of it                                           |
 * | forget    | report it destroyed                                        |
 */
export type Action =
  'wait' | 'make' | 'give-up' | 'hand-over' | 'cancel' | 'deliver' | 'destroy' | 'forget';

const TABLE: Readonly<Record<LocalState, Readonly<Record<Goal, Action>>>> = {
  absent: {
    unknown: 'wait',
    ready: 'make',
    // It was ready once, or it would have no job: it is gone.
    run: 'give-up',
    cancel: 'give-up',
    destroyed: 'forget',
  },
  unfinished: {
    unknown: 'give-up',
    ready: 'give-up',
    run: 'give-up',
    cancel: 'give-up',
    destroyed: 'destroy',
  },
  ready: {
    unknown: 'wait',
    ready: 'wait',
    run: 'hand-over',
    cancel: 'give-up',
    destroyed: 'destroy',
  },
  running: {
    unknown: 'wait',
    ready: 'wait',
    run: 'wait',
    cancel: 'cancel',
    destroyed: 'destroy',
  },
  ended: {
    unknown: 'deliver',
    ready: 'deliver',
    run: 'deliver',
    cancel: 'deliver',
    destroyed: 'destroy',
  },
  delivered: {
    unknown: 'wait',
    ready: 'wait',
    run: 'wait',
    cancel: 'wait',
    destroyed: 'destroy',
  },
  broken: {
    unknown: 'wait',
    ready: 'wait',
    run: 'wait',
    cancel: 'wait',
    destroyed: 'destroy',
  },
};

export function decideWorker(state: LocalState, goal: Goal): Action {
  return TABLE[state][goal];
}
