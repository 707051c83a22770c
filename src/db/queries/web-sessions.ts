import type { Queryable } from '../database.ts';
import type { TokenRow } from './tokens.ts';

/** Somebody who is signed in to the page. Only the hash of what the browser holds is kept. */
export interface WebSessionRow {
  readonly hash: string;
  readonly id: string;
  readonly name: string;
  readonly role: TokenRow['role'];
  /** Token that it was opened with: it ends when that does. Null: an identity provider vouched. */
  readonly token_id: string | null;
  readonly created_at: number;
  readonly seen_at: number;
  readonly expires_at: number;
}

export async function insertWebSession(db: Queryable, row: WebSessionRow): Promise<void> {
  await db.run(
    `INSERT INTO web_sessions (hash, id, name, role, token_id, created_at, seen_at, expires_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
    [
      ...[row.hash, row.id, row.name, row.role, row.token_id],
      ...[row.created_at, row.seen_at, row.expires_at],
    ],
  );
}

/** The session, unless the token that it was opened with is gone or expired. */
export function findWebSession(
  db: Queryable,
  hash: string,
  now: number,
): Promise<WebSessionRow | undefined> {
  return db.get(
    `SELECT s.* FROM web_sessions s LEFT JOIN tokens t ON t.id = s.token_id
     WHERE s.hash = $1 AND s.expires_at > $2
       AND (s.token_id IS NULL
         OR (t.id IS NOT NULL AND (t.expires_at IS NULL OR t.expires_at > $2)))`,
    [hash, now],
  );
}

export async function touchWebSession(db: Queryable, hash: string, now: number): Promise<void> {
  await db.run('UPDATE web_sessions SET seen_at = $2 WHERE hash = $1', [hash, now]);
}

export async function deleteWebSession(db: Queryable, hash: string): Promise<void> {
  await db.run('DELETE FROM web_sessions WHERE hash = $1', [hash]);
}

export async function deleteWebSessionsBefore(
  db: Queryable,
  { now, idleSince }: { now: number; idleSince: number },
): Promise<void> {
  await db.run('DELETE FROM web_sessions WHERE expires_at <= $1 OR seen_at < $2', [now, idleSince]);
}

/** A way to the identity provider that somebody is on. */
export async function insertSignIn(
  db: Queryable,
  row: { state: string; sealed: string; expiresAt: number },
): Promise<void> {
  await db.run('INSERT INTO sign_ins (state, sealed, expires_at) VALUES ($1, $2, $3)', [
    ...[row.state, row.sealed, row.expiresAt],
  ]);
}

/** Takes it: each can be come back from once. */
export async function takeSignIn(
  db: Queryable,
  state: string,
  now: number,
): Promise<string | undefined> {
  const row = await db.get<{ sealed: string; expires_at: number }>(
    'SELECT sealed, expires_at FROM sign_ins WHERE state = $1',
    [state],
  );
  if (row === undefined) return undefined;
  const taken = await db.run('DELETE FROM sign_ins WHERE state = $1', [state]);
  return taken === 1 && row.expires_at > now ? row.sealed : undefined;
}

export async function deleteSignInsBefore(db: Queryable, now: number): Promise<void> {
  await db.run('DELETE FROM sign_ins WHERE expires_at <= $1', [now]);
}
