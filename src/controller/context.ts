import type { Database, Queryable } from '../db/database.ts';
import { insertEvent, type EventRow } from '../db/queries/events.ts';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import type { ChangeBus } from './change-bus.ts';

/** What every part of the controller works with. */
export interface Context {
  readonly db: Database;
  readonly clock: Clock;
  readonly bus: ChangeBus;
  readonly log: Logger;
  /** Short id of the fleet: part of the names of all that is made outside. */
  readonly fleet: string;
}

/** Collects what a transaction changes, to be told once it is committed. */
export interface Changes {
  readonly tx: Queryable;
  readonly now: number;
  /** Records a change of state for those who follow events. */
  event(kind: EventRow['kind'], subject: string, state: string, reason?: string): Promise<void>;
  /** The desired workers of this host changed. */
  host(hostId: string): void;
}

/** Runs `work` in a transaction, and tells the bus what changed once it is committed. */
export async function change<T>(
  context: Context,
  work: (changes: Changes) => Promise<T>,
): Promise<T> {
  const hosts = new Set<string>();
  const subjects = new Set<string>();
  const now = context.clock.now();
  const result = await context.db.transaction((tx) =>
    work({
      tx,
      now,
      async event(kind, subject, state, reason) {
        subjects.add(subject);
        await insertEvent(tx, { at: now, kind, subject, state, reason });
      },
      host: (hostId) => void hosts.add(hostId),
    }),
  );
  if (hosts.size > 0 || subjects.size > 0) context.bus.publish({ hosts, subjects });
  return result;
}
