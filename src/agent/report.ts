import type { ObservedWorker } from '../domain/worker.ts';
import type { Look } from './runtime.ts';

/** What the controller is told of a worker, beside which one it is. */
export type Report = Omit<ObservedWorker, 'id' | 'epoch'>;

const REASON_LENGTH = 4_000;

/** What a look at a worker means for the controller; undefined: nothing that is new. */
export function reportOf(look: Look): Report | undefined {
  switch (look.state) {
    case 'absent':
    case 'unfinished':
      return undefined;
    case 'ready':
      return { state: 'ready' };
    case 'running':
      // Handed over is not begun: that its command runs is said by its start.
      return { state: look.startedAt === undefined ? 'ready' : 'running', ...jobOf(look) };
    case 'ended':
      return { state: 'finishing', ...jobOf(look) };
    case 'delivered':
      return {
        ...{ state: 'finishing', ...jobOf(look) },
        ...(look.result === undefined ? {} : { result: look.result }),
      };
    case 'broken':
      return {
        state: 'failed',
        ...(look.reason === undefined ? {} : { reason: look.reason.slice(0, REASON_LENGTH) }),
        ...jobOf(look),
      };
  }
}

function jobOf({ jobId, startedAt }: Look): Pick<ObservedWorker, 'jobId' | 'startedAt'> {
  return {
    ...(jobId === undefined ? {} : { jobId }),
    ...(startedAt === undefined ? {} : { startedAt }),
  };
}
