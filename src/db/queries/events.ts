import type { Queryable } from '../database.ts';

export interface EventRow {
  readonly seq: number;
  readonly at: number;
  readonly kind: 'job' | 'worker' | 'host' | 'pool' | 'integration' | 'host-rollout';
  readonly subject: string;
  readonly state: string;
  readonly reason: string | null;
}

export async function insertEvent(
  db: Queryable,
  event: Omit<EventRow, 'seq' | 'reason'> & { reason?: string | undefined },
): Promise<void> {
  await db.run(
    'INSERT INTO events (at, kind, subject, state, reason) VALUES ($1, $2, $3, $4, $5)',
    [event.at, event.kind, event.subject, event.state, event.reason],
  );
}

export function eventsAfter(db: Queryable, after: number, limit: number): Promise<EventRow[]> {
  return db.all('SELECT * FROM events WHERE seq > $1 ORDER BY seq LIMIT $2', [after, limit]);
}

/** What happened to some jobs and workers, in order. */
export function eventsOf(db: Queryable, subjects: readonly string[]): Promise<EventRow[]> {
  const places = subjects.map((_, index) => `$${index + 1}`).join(', ');
  return db.all(`SELECT * FROM events WHERE subject IN (${places}) ORDER BY seq`, subjects);
}

export async function latestEventSeq(db: Queryable): Promise<number> {
  const row = await db.get<{ seq: number | null }>('SELECT MAX(seq) AS seq FROM events');
  return Number(row?.seq ?? 0);
}

export async function deleteEventsUpTo(db: Queryable, seq: number): Promise<void> {
  await db.run('DELETE FROM events WHERE seq <= $1', [seq]);
}
