/** The program of one thread of `Threads`. */
import { parentPort } from 'node:worker_threads';
import { TASKS } from './tasks.ts';
import type { Answer, Call } from './threads.ts';

parentPort?.on('message', ({ id, name, argument }: Call) => {
  let answer: Answer;
  const transfer: ArrayBuffer[] = [];
  try {
    const result = (TASKS[name] as (argument: unknown) => unknown)(argument);
    if (typeof result === 'object' && result !== null && 'data' in result) {
      transfer.push((result.data as Uint8Array<ArrayBuffer>).buffer);
    }
    answer = { id, result };
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    answer = { id, failed: { message, ...(code === undefined ? {} : { code }) } };
  }
  parentPort?.postMessage(answer, transfer);
});
