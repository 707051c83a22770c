import type { VirtualTime } from './virtual-time.ts';

/** A process: what happens to it happens only while it lives, and waits while it stands still. */
export class SimProcess {
  readonly #time: VirtualTime;
  readonly #held: (() => void)[] = [];
  #state: 'runs' | 'still' | 'dead' = 'runs';

  constructor(time: VirtualTime) {
    this.#time = time;
  }

  get lives(): boolean {
    return this.#state !== 'dead';
  }

  get runs(): boolean {
    return this.#state === 'runs';
  }

  enter(work: () => void): void {
    if (this.#state === 'runs') work();
    else if (this.#state === 'still') this.#held.push(work);
  }

  after(ms: number, work: () => void): void {
    this.#time.after(ms, () => this.enter(work));
  }

  /** Never settles once the process is dead. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  /** Returns the way to stop. A process that stood still finds one tick due, not many. */
  every(ms: number, work: () => void): () => void {
    let stopped = false;
    const tick = () => {
      if (stopped) return;
      work();
      this.after(ms, tick);
    };
    this.after(ms, tick);
    return () => {
      stopped = true;
    };
  }

  stand(): void {
    if (this.#state === 'runs') this.#state = 'still';
  }

  goOn(): void {
    if (this.#state !== 'still') return;
    this.#state = 'runs';
    while (this.#held.length > 0 && this.runs) this.#held.shift()?.();
  }

  kill(): void {
    this.#state = 'dead';
    this.#held.length = 0;
  }
}
