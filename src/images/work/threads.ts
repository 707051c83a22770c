import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Tasks } from './tasks.ts';

/** Tasks that a thread has at once, so that it need not wait for the next. */
const DEPTH = 2;

/** What goes to a thread. */
export interface Call {
  readonly id: number;
  readonly name: keyof Tasks;
  readonly argument: unknown;
}

/** What comes back. */
export interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly failed?: { readonly message: string; readonly code?: string };
}

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

interface Thread {
  readonly worker: Worker;
  readonly calls: Map<number, Waiting>;
}

/** One thread a processor for work on chunks. `close` it, or the process does not end. */
export class Threads {
  readonly #threads: Thread[] = [];
  readonly #queue: { readonly call: Call; readonly waiting: Waiting }[] = [];
  readonly #count: number;
  #nextId = 0;

  constructor(count: number = availableParallelism()) {
    this.#count = count;
  }

  /** How many tasks are worth having under way at once. */
  get width(): number {
    return this.#count * DEPTH;
  }

  run<Name extends keyof Tasks>(
    name: Name,
    argument: Parameters<Tasks[Name]>[0],
  ): Promise<ReturnType<Tasks[Name]>> {
    this.#nextId += 1;
    const call: Call = { id: this.#nextId, name, argument };
    return new Promise<unknown>((resolve, reject) => {
      this.#queue.push({ call, waiting: { resolve, reject } });
      this.#dispatch();
    }) as Promise<ReturnType<Tasks[Name]>>;
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }

  #dispatch(): void {
    while (this.#queue.length > 0) {
      const thread = this.#freeThread();
      const next = thread === undefined ? undefined : this.#queue.shift();
      if (thread === undefined || next === undefined) return;
      thread.calls.set(next.call.id, next.waiting);
      thread.worker.postMessage(next.call, transferOf(next.call.argument));
    }
  }

  #freeThread(): Thread | undefined {
    const idle = this.#threads.find((thread) => thread.calls.size === 0);
    if (idle !== undefined) return idle;
    if (this.#threads.length < this.#count) return this.#start();
    return this.#threads.find((thread) => thread.calls.size < DEPTH);
  }

  #start(): Thread {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const worker = new Worker(new URL(`./thread.${extension}`, import.meta.url), {
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    const thread: Thread = { worker, calls: new Map() };
    worker.on('message', ({ id, result, failed }: Answer) => {
      const waiting = thread.calls.get(id);
      thread.calls.delete(id);
      if (failed === undefined) waiting?.resolve(result);
      else waiting?.reject(Object.assign(new Error(failed.message), failed));
      this.#dispatch();
    });
    worker.on('error', (error: Error) => {
      for (const waiting of thread.calls.values()) waiting.reject(error);
      thread.calls.clear();
    });
    this.#threads.push(thread);
    return thread;
  }
}

/** Data that goes to a thread is the thread's from then on, where nothing else is in its buffer. */
function transferOf(argument: unknown): ArrayBuffer[] {
  if (typeof argument !== 'object' || argument === null || !('data' in argument)) return [];
  const { data } = argument;
  if (!(data instanceof Uint8Array) || !(data.buffer instanceof ArrayBuffer)) return [];
  return data.byteLength === data.buffer.byteLength ? [data.buffer] : [];
}
