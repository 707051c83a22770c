import { finishedAmong } from '../../db/queries/jobs.ts';
import { limiter } from '../../platform/limiter.ts';
import type { Context } from '../context.ts';
import type { LogFiles } from '../files/file-stores.ts';
import type { Lease } from '../leases.ts';

const EVERY_MS = 15_000;
/** What comes together meanwhile is looked up at once. */
const GATHER_MS = 200;
const AT_ONCE = 4;
/** Jobs looked up in one query. */
const BATCH = 500;

/** Has the log store finish the logs of jobs that ended, soon, and each at last. */
export class LogKeeper {
  readonly #context: Context;
  readonly #lease: Lease;
  readonly #logs: Pick<LogFiles, 'finish' | 'unfinished'>;
  readonly #inTurn = limiter(AT_ONCE);
  readonly #changed = new Set<string>();
  readonly #stop: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(
    context: Context,
    parts: { readonly lease: Lease; readonly logs: Pick<LogFiles, 'finish' | 'unfinished'> },
  ) {
    this.#context = context;
    this.#lease = parts.lease;
    this.#logs = parts.logs;
    this.#stop.push(
      context.bus.listen(({ rows }) => {
        if (!this.#lease.held) return;
        for (const { kind, subject } of rows) if (kind === 'job') this.#changed.add(subject);
        if (this.#changed.size > 0) this.#timer ??= setTimeout(() => this.#look(), GATHER_MS);
      }),
      context.clock.every(EVERY_MS, () => {
        if (this.#lease.held) this.#do(() => this.finishAll());
      }),
    );
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    for (const stop of this.#stop) stop();
    await this.#running;
  }

  /** Those that were not finished when their jobs ended: somebody died, or the store was away. */
  async finishAll(): Promise<void> {
    const unfinished = await this.#logs.unfinished();
    await Promise.all(
      unfinished.map(({ jobId, epoch }) => this.#inTurn(() => this.#logs.finish(jobId, epoch))),
    );
  }

  #look(): void {
    this.#timer = undefined;
    const ids = [...this.#changed];
    this.#changed.clear();
    this.#do(async () => {
      for (let at = 0; at < ids.length; at += BATCH) {
        const ended = await finishedAmong(this.#context.db, ids.slice(at, at + BATCH));
        await Promise.all(
          ended.map(({ id, epoch }) => this.#inTurn(() => this.#logs.finish(id, epoch))),
        );
      }
    });
  }

  #do(work: () => Promise<void>): void {
    this.#running = this.#running.then(work).catch((error: unknown) => {
      this.#context.log.log(
        'warn',
        'logs of jobs that ended cannot be finished; it is tried again',
        {
          error,
        },
      );
    });
  }
}
