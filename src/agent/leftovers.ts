import { LEAK_GRACE_MS, type Leak } from '../domain/leak.ts';
import type { Logger } from '../platform/logger.ts';

/** Something with an owned name that belongs to no worker. */
export interface Leftover {
  /** What it is, for people: `VM`, `clone in store btrfs`, `directory`. */
  readonly kind: string;
  readonly name: string;
  /** Idempotent. */
  remove(): Promise<void>;
}

export interface LeftoverParts {
  /** All there is now. What a worker has is none, also of one that is being made or destroyed. */
  find(): Promise<readonly Leftover[]>;
  readonly log: Logger;
  /** What there is changed. */
  changed(leaks: readonly Leak[]): void;
  readonly now?: () => number;
}

/** The others are told of once these are gone. */
const MOST_TOLD = 1_000;
const LOOK_EVERY_MS = 120_000;

/** Looks for what was left on this host, tells of it, and removes it after a grace time. */
export class LeftoverWatch {
  readonly #parts: LeftoverParts;
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout;
  #leaks: readonly Leak[] = [];
  /** One look at a time. */
  #looking: Promise<void> = Promise.resolve();

  constructor(parts: LeftoverParts) {
    this.#parts = parts;
    this.#now = parts.now ?? Date.now;
    this.#timer = setInterval(
      () => void this.look(LEAK_GRACE_MS).catch(() => undefined),
      LOOK_EVERY_MS,
    );
    this.#timer.unref();
  }

  get leaks(): readonly Leak[] {
    return this.#leaks;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking.catch(() => undefined);
  }

  /** Looks, and removes what has been there for longer than `graceMs`. Throws what a look throws. */
  look(graceMs: number): Promise<void> {
    const look = this.#looking.catch(() => undefined).then(() => this.#lookOnce(graceMs));
    this.#looking = look;
    look.catch((error: unknown) => {
      this.#parts.log.log('warn', 'what was left on this host cannot be looked for', { error });
    });
    return look;
  }

  async #lookOnce(graceMs: number): Promise<void> {
    const now = this.#now();
    const leaks: Leak[] = [];
    for (const leftover of await this.#parts.find()) {
      const { kind, name } = leftover;
      const known = this.#leaks.find((leak) => leak.kind === kind && leak.name === name);
      const since = known?.since ?? now;
      const problem = now - since >= graceMs ? await this.#remove(leftover) : known?.problem;
      if (problem === 'removed') continue;
      leaks.push({ kind, name, since, ...(problem === undefined ? {} : { problem }) });
      if (leaks.length === MOST_TOLD) break;
    }
    if (JSON.stringify(leaks) === JSON.stringify(this.#leaks)) return;
    this.#leaks = leaks;
    this.#parts.changed(leaks);
  }

  /** Returns `removed`, or why it was not. */
  async #remove(leftover: Leftover): Promise<string> {
    const { kind, name } = leftover;
    try {
      await leftover.remove();
      this.#parts.log.log('warn', 'something that was left on this host is removed', {
        kind,
        name,
      });
      return 'removed';
    } catch (error) {
      this.#parts.log.log('warn', 'what was left cannot be removed', { kind, name, error });
      return (error as Error).message.slice(0, 1_000);
    }
  }
}
