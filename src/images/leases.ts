import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BlobStore } from '../drivers/blob/blob.ts';
import { getIfThere } from './repository.ts';

/** A push says this often that it is alive. */
const BEAT_MS = 60_000;
/** One that said nothing for this long is dead: its beats fail or its machine is gone. */
export const DEAD_AFTER_MS = 30 * 60_000;

/**
 * A push that is under way, as others see it. While it is alive, gc removes no pack that was not
 * marked when it began (see `collectGarbage`).
 */
export class PushLease {
  readonly #blobs: BlobStore;
  readonly #key: string;
  readonly #stop = new AbortController();
  readonly #beating: Promise<void>;

  private constructor(blobs: BlobStore, key: string) {
    this.#blobs = blobs;
    this.#key = key;
    this.#beating = this.#beat();
  }

  static async take(blobs: BlobStore, what: string, signal?: AbortSignal): Promise<PushLease> {
    const key = `pushes/${randomBytes(16).toString('hex')}`;
    await blobs.put(`${key}.json`, Buffer.from(JSON.stringify({ what })), signal);
    return new PushLease(blobs, key);
  }

  /** Whether gc still counts with this push. One that slept for too long was given up. */
  async isHeld(signal?: AbortSignal): Promise<boolean> {
    return (await getIfThere(this.#blobs, `${this.#key}.json`, signal)) !== undefined;
  }

  async release(): Promise<void> {
    this.#stop.abort();
    await this.#beating;
    await this.#blobs.delete(`${this.#key}.json`);
    await this.#blobs.delete(`${this.#key}.beat`);
  }

  async #beat(): Promise<void> {
    const { signal } = this.#stop;
    for (;;) {
      try {
        await sleep(BEAT_MS, undefined, { signal, ref: false });
        await this.#blobs.put(`${this.#key}.beat`, Buffer.from('{}'), signal);
      } catch {
        // A beat that fails is made up for by the next; too many, and gc gives this push up.
        if (signal.aborted) return;
      }
    }
  }
}

/**
 * When the oldest push that is alive began, by the clock of the blob store; Infinity when there is
 * none. Removes the leases of the dead.
 */
export async function oldestPush(
  blobs: BlobStore,
  nowMs: number,
  deadAfterMs: number,
  signal?: AbortSignal,
): Promise<number> {
  const began = new Map<string, number>();
  const heard = new Map<string, number>();
  for await (const { key, modifiedMs } of blobs.list('pushes/', signal)) {
    const push = key.replace(/\.[a-z]+$/, '');
    if (key.endsWith('.json')) began.set(push, modifiedMs);
    heard.set(push, Math.max(modifiedMs, heard.get(push) ?? 0));
  }
  let oldest = Number.POSITIVE_INFINITY;
  for (const [push, heardMs] of heard) {
    const beganMs = began.get(push);
    if (heardMs < nowMs - deadAfterMs) {
      await blobs.delete(`${push}.json`, signal);
      await blobs.delete(`${push}.beat`, signal);
    } else if (beganMs !== undefined) oldest = Math.min(oldest, beganMs);
  }
  return oldest;
}
