import type { Database, Queryable } from '../db/database.ts';
import { insertEvent, type EventRow } from '../db/queries/events.ts';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import { changeOf, type ChangeBus, type ChangedRow } from './change-bus.ts';
import { tellOthers } from './relay.ts';

/** What every part of the controller works with. */
export interface Context {
  readonly db: Database;
  readonly clock: Clock;
  readonly bus: ChangeBus;
  readonly log: Logger;
  /** Makes ids, as `newId` does. */
  readonly newId: (prefix: string, now: number) => string;
  /** Short id of the fleet: part of the names of all that is made outside. */
  readonly fleet: string;
  /** Of this process. */
  readonly controllerId: string;
}

/** Collects what a transaction changes, to be told once it is committed. */
export interface Changes {
  readonly tx: Queryable;
  readonly now: number;
  newId(prefix: string): string;
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
  const rows: ChangedRow[] = [];
  const now = context.clock.now();
  const result = await context.db.transaction(async (tx) => {
    const made = await work({
      tx,
      now,
      newId: (prefix) => context.newId(prefix, now),
      async event(kind, subject, state, reason) {
        rows.push({ kind, subject });
        await insertEvent(tx, { at: now, kind, subject, state, reason });
      },
      host: (hostId) => void hosts.add(hostId),
    });
    if (hosts.size > 0 || rows.length > 0) {
      await tellOthers(context.db, tx, context.controllerId, { hosts, rows });
    }
    return made;
  });
  if (hosts.size > 0 || rows.length > 0) context.bus.publish(changeOf(hosts, rows));
  return result;
}
