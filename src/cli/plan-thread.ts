import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { PlanFleet } from '../controller/handlers.ts';
import type { PlanAnswer } from '../protocol/api/history-resources.ts';
import { ProblemError } from '../protocol/problem.ts';
import { parseTarget } from '../simulation/plan/target.ts';

/** Whoever asks for more than can be played in this time is told so. */
const PATIENCE_MS = 60_000;

/** Plays jobs in a thread of its own. One question at a time. */
export function planThread(): PlanFleet {
  let before: Promise<unknown> = Promise.resolve();
  return async (question, jobs, signal) => {
    if (question.target !== undefined && parseTarget(question.target) === undefined) {
      throw new ProblemError('invalid', 'the target is not what was expected', {
        errors: [
          {
            path: 'target',
            message: 'expected p50, p95, p99 or longest, such as "p95 wait < 2m"',
          },
        ],
      });
    }
    const answer = before.then(() => {
      signal.throwIfAborted();
      return play({ question, jobs }, signal);
    });
    before = answer.catch(() => undefined);
    return answer;
  };
}

async function play(workerData: object, signal: AbortSignal): Promise<PlanAnswer> {
  const program = new URL(`./plan-worker${extname(import.meta.url)}`, import.meta.url);
  const worker = new Worker(program, { workerData });
  const { promise, resolve, reject } = Promise.withResolvers<PlanAnswer>();
  const stop = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]);
  const stopped = () => {
    reject(
      new ProblemError(
        'invalid',
        'playing these jobs takes more than a minute; ask for fewer hours',
      ),
    );
  };
  stop.addEventListener('abort', stopped);
  worker.once('message', resolve).once('error', reject);
  worker.once('exit', () => reject(new Error('the simulator ended without an answer')));
  try {
    return await promise;
  } finally {
    stop.removeEventListener('abort', stopped);
    // How long a thread takes to end is nothing that the answer waits for.
    void worker.terminate();
  }
}
