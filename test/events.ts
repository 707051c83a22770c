import type { Queryable } from '../src/db/database.ts';
import { eventsAfter, latestEventSeq, type EventRow } from '../src/db/queries/events.ts';

/** The newest events, oldest first. */
export async function latestEvents(db: Queryable, count: number): Promise<EventRow[]> {
  return eventsAfter(db, (await latestEventSeq(db)) - count, count);
}
