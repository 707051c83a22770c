import { createHmac } from 'node:crypto';
import { alertOf, type AlertName } from '../../domain/alerts.ts';
import { eventsAfter, latestEventSeq, type EventRow } from '../../db/queries/events.ts';
import { getSetting, initSetting, setSetting } from '../../db/queries/settings.ts';
import type { Context } from '../context.ts';
import type { Lease } from '../leases.ts';
import type { Secrets } from '../secrets.ts';

/** Where alerts go. */
export interface AlertTarget {
  readonly name: string;
  readonly url: string;
  /** Name of the secret that its requests are signed with; absent: they are not. */
  readonly secret?: string;
  /** Those that it wants; absent: all. */
  readonly only?: readonly AlertName[];
}

const EVERY_MS = 2_000;
const BATCH = 500;
const TIMEOUT_MS = 10_000;
const FIRST_RETRY_MS = 2_000;
const LONGEST_RETRY_MS = 300_000;

/**
 * Tells one target of what happens. It reads the events from where it stopped, and goes on only once
 * the target took an alert: each is told at least once, in order, whichever controller does it.
 */
export class AlertSender {
  readonly #context: Context;
  readonly #target: AlertTarget;
  readonly #lease: Lease;
  readonly #secrets: Secrets;
  readonly #stop = new AbortController();
  readonly #stopTicking: () => void;
  #running: Promise<void> | undefined;
  #failures = 0;
  #restsUntil = 0;

  constructor(
    context: Context,
    target: AlertTarget,
    parts: { readonly lease: Lease; readonly secrets: Secrets },
  ) {
    // A controller that stood still must not move the place back.
    this.#context = parts.lease.fence(context);
    this.#target = target;
    this.#lease = parts.lease;
    this.#secrets = parts.secrets;
    this.#stopTicking = context.clock.every(EVERY_MS, () => this.wake());
    this.wake();
  }

  wake(): void {
    const { clock, log } = this.#context;
    if (!this.#lease.held || clock.monotonic() < this.#restsUntil) return;
    this.#running ??= this.#tellAll()
      .catch((error: unknown) => {
        if (this.#stop.signal.aborted) return;
        const rest = Math.min(FIRST_RETRY_MS * 2 ** this.#failures, LONGEST_RETRY_MS);
        this.#failures += 1;
        this.#restsUntil = clock.monotonic() + rest;
        const { name } = this.#target;
        log.log('warn', `alerts do not reach ${name}; next try in ${rest} ms`, { error });
      })
      .finally(() => {
        this.#running = undefined;
      });
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#stopTicking();
    await this.#running;
  }

  async #tellAll(): Promise<void> {
    const { db } = this.#context;
    const place = `alerts-after ${this.#target.name}`;
    // What was before it was named is no news to it.
    if ((await getSetting(db, place)) === undefined) {
      await initSetting(db, place, String(await latestEventSeq(db)));
    }
    for (;;) {
      const after = Number(await getSetting(db, place));
      const events = await eventsAfter(db, after, BATCH);
      for (const event of events) {
        const told = await this.#tell(event);
        if (told) await this.#goOnAfter(place, event.seq);
      }
      const last = events.at(-1);
      if (last === undefined) return;
      await this.#goOnAfter(place, last.seq);
    }
  }

  #goOnAfter(place: string, seq: number): Promise<void> {
    return this.#context.db.transaction((tx) => setSetting(tx, place, String(seq)));
  }

  /** Returns whether it was an alert for this target. */
  async #tell(event: EventRow): Promise<boolean> {
    const alert = alertOf(event);
    const { only, url, secret } = this.#target;
    if (alert === undefined || only?.includes(alert.name) === false) return false;
    const body = JSON.stringify({
      ...{ id: event.seq, at: event.at, fleet: this.#context.fleet, alert: alert.name },
      // `text` is what chats show.
      ...{ subject: event.subject, text: `Pomona: ${alert.text}` },
    });
    const headers: Record<string, string> = { 'content-type': 'application/json' };
    if (secret !== undefined) {
      const key = (await this.#secrets.valuesOf([secret]))[secret];
      if (key === undefined) throw new Error(`there is no secret ${secret}`);
      const signature = createHmac('sha256', key).update(body).digest('hex');
      headers['pomona-signature'] = `sha256=${signature}`;
    }
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(TIMEOUT_MS)]);
    const answer = await fetch(url, { method: 'POST', body, headers, signal, redirect: 'error' });
    await answer.body?.cancel();
    if (!answer.ok) throw new Error(`it answered ${answer.status}`);
    this.#failures = 0;
    return true;
  }
}
