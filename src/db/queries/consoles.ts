import type { ConsoleKind } from '../../domain/console.ts';
import type { Queryable } from '../database.ts';

/** Somebody has, or had, a way into a worker. */
export interface ConsoleRow {
  readonly id: string;
  readonly kind: ConsoleKind;
  readonly worker_id: string;
  readonly host_id: string;
  /** Controller that joins the page and the agent. */
  readonly controller_id: string;
  readonly who: string;
  readonly cols: number;
  readonly lines: number;
  readonly opened_at: number;
  readonly ended_at: number | null;
  /** Of the recording. */
  readonly bytes: number;
}

export async function insertConsole(
  db: Queryable,
  row: Omit<ConsoleRow, 'ended_at' | 'bytes'>,
): Promise<void> {
  await db.run(
    `INSERT INTO consoles (id, kind, worker_id, host_id, controller_id, who, cols, lines, opened_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
    [
      ...[row.id, row.kind, row.worker_id, row.host_id, row.controller_id, row.who],
      ...[row.cols, row.lines, row.opened_at],
    ],
  );
}

export function findConsole(db: Queryable, id: string): Promise<ConsoleRow | undefined> {
  return db.get('SELECT * FROM consoles WHERE id = $1', [id]);
}

export function openConsoles(db: Queryable, hostId: string): Promise<ConsoleRow[]> {
  return db.all('SELECT * FROM consoles WHERE host_id = $1 AND ended_at IS NULL ORDER BY id', [
    hostId,
  ]);
}

/** Newest first. */
export function listConsoles(db: Queryable, limit: number): Promise<ConsoleRow[]> {
  return db.all('SELECT * FROM consoles ORDER BY opened_at DESC, id DESC LIMIT $1', [limit]);
}

export async function endConsole(
  db: Queryable,
  { id, bytes, now }: { id: string; bytes: number; now: number },
): Promise<void> {
  await db.run('UPDATE consoles SET ended_at = $2, bytes = $3 WHERE id = $1 AND ended_at IS NULL', [
    ...[id, now, bytes],
  ]);
}

/** Those that a controller had when it went. */
export async function endConsolesOf(
  db: Queryable,
  controllerId: string,
  now: number,
): Promise<void> {
  await db.run('UPDATE consoles SET ended_at = $2 WHERE controller_id = $1 AND ended_at IS NULL', [
    controllerId,
    now,
  ]);
}

/** Those of controllers that are gone. */
export async function endConsolesOfOthers(
  db: Queryable,
  live: readonly string[],
  now: number,
): Promise<void> {
  const places = live.map((_, index) => `$${index + 2}`).join(', ');
  await db.run(
    `UPDATE consoles SET ended_at = $1 WHERE ended_at IS NULL AND controller_id NOT IN (${places})`,
    [now, ...live],
  );
}

export function consolesEndedBefore(db: Queryable, at: number): Promise<{ id: string }[]> {
  return db.all('SELECT id FROM consoles WHERE ended_at < $1 LIMIT 500', [at]);
}

export async function deleteConsole(db: Queryable, id: string): Promise<void> {
  await db.run('DELETE FROM consoles WHERE id = $1', [id]);
}
