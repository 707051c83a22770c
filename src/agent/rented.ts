import { join } from 'node:path';
import { readJson, writeJson } from '../platform/atomic-file.ts';
import type { Logger } from '../platform/logger.ts';
import { tool } from '../platform/tool.ts';

/** A host that costs money as long as it is there, and is to be given back. */
export interface Rent {
  /** From the first start of its agent. */
  readonly hardAgeMs: number;
  /** A line of shell that gives it back. */
  readonly endCommand: string;
}

export interface RentedParts extends Rent {
  readonly dataDir: string;
  /** Whether a controller listens. */
  isConnected(): boolean;
  /** Workers that have a job, or its result. */
  busy(): number;
  /** The host was given back: there is nothing more to do. */
  ended(): void;
  readonly log: Logger;
  readonly now?: () => number;
}

const LOOK_EVERY_MS = 15_000;
/** Jobs that run when its time is over, and no controller answers, have so long to end and be delivered. */
export const OVERTIME_MS = 2 * 3_600_000;
const COMMAND_MS = 5 * 60_000;

/**
 * Gives a rented host back when its time is over. While a controller answers, it is the controller that
 * retires the host: its removal from the fleet is what ends it. Without one the host ends itself.
 */
export class RentedHost {
  readonly #parts: RentedParts;
  readonly #since: number;
  readonly #timer: NodeJS.Timeout;
  #ending: Promise<void> | undefined;
  /** Why it is given back, once that is so. */
  #reason: string | undefined;

  static async start(parts: RentedParts): Promise<RentedHost> {
    const path = join(parts.dataDir, 'rented.json');
    let record = await readJson<{ readonly since: number }>(path);
    if (record === undefined) {
      record = { since: (parts.now ?? Date.now)() };
      await writeJson(path, record, { flush: true });
    }
    return new RentedHost(parts, record.since);
  }

  private constructor(parts: RentedParts, since: number) {
    this.#parts = parts;
    this.#since = since;
    this.#timer = setInterval(() => void this.look(), LOOK_EVERY_MS);
  }

  /** When its time is over, by the host's clock. */
  get endsAt(): number {
    return this.#since + this.#parts.hardAgeMs;
  }

  async look(): Promise<void> {
    const { isConnected, busy, now = Date.now } = this.#parts;
    if (this.#reason !== undefined) return this.giveBack(this.#reason);
    const over = now() - this.endsAt;
    if (over < 0 || isConnected()) return;
    if (busy() > 0 && over < OVERTIME_MS) return;
    await this.giveBack('its time is over, and no controller answers');
  }

  /** Runs the command, again and again until it succeeds: a host that stays costs money. */
  giveBack(reason: string): Promise<void> {
    const { endCommand, log, ended } = this.#parts;
    this.#reason = reason;
    this.#ending ??= (async () => {
      log.log('warn', 'this rented host is given back', { reason });
      const { code, why } = await tool('sh', ['-c', endCommand], { timeoutMs: COMMAND_MS });
      if (code === 0) return ended();
      log.log('error', 'this host could not be given back; it is tried again', { code, why });
      this.#ending = undefined;
    })();
    return this.#ending;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#ending;
  }
}
