import type { Context } from './context.ts';
import type { Lease } from './leases.ts';

interface Task {
  readonly everyMs: number;
  /** What it writes is refused once another controller has the lease. */
  work(context: Context): Promise<void>;
  /** What is told when it fails: it is tried again at its next time. */
  readonly failure: string;
}

/** What the controller that holds a lease does when it takes it, and again and again from then on. */
export class LeasedTask {
  readonly #context: Context;
  readonly #lease: Lease;
  readonly #task: Task;
  readonly #stops: readonly (() => void)[];
  #running: Promise<void> | undefined;

  constructor(context: Context, lease: Lease, task: Task) {
    this.#context = lease.fence(context);
    this.#lease = lease;
    this.#task = task;
    const start = () => this.#start();
    this.#stops = [context.clock.every(task.everyMs, start), lease.onTaken(start)];
  }

  #start(): void {
    if (!this.#lease.held) return;
    const { work, failure } = this.#task;
    this.#running ??= work(this.#context)
      .catch((error: unknown) => this.#context.log.log('warn', failure, { error }))
      .finally(() => {
        this.#running = undefined;
      });
  }

  async close(): Promise<void> {
    for (const stop of this.#stops) stop();
    await this.#running;
  }
}
