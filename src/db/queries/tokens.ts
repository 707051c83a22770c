import type { Queryable } from '../database.ts';

export interface TokenRow {
  readonly id: string;
  readonly name: string;
  readonly role: 'admin' | 'operator' | 'submitter' | 'viewer';
  readonly hash: string;
  readonly created_at: number;
  readonly expires_at: number | null;
  readonly last_used_at: number | null;
}

export async function insertToken(
  db: Queryable,
  token: Omit<TokenRow, 'last_used_at'>,
): Promise<void> {
  await db.run(
    `INSERT INTO tokens (id, name, role, hash, created_at, expires_at)
     VALUES ($1, $2, $3, $4, $5, $6)`,
    [token.id, token.name, token.role, token.hash, token.created_at, token.expires_at],
  );
}

export function findTokenByHash(db: Queryable, hash: string): Promise<TokenRow | undefined> {
  return db.get('SELECT * FROM tokens WHERE hash = $1', [hash]);
}

export function listTokens(db: Queryable): Promise<TokenRow[]> {
  return db.all('SELECT * FROM tokens ORDER BY created_at, id');
}

export async function touchToken(db: Queryable, id: string, now: number): Promise<void> {
  await db.run('UPDATE tokens SET last_used_at = $2 WHERE id = $1', [id, now]);
}

export function deleteToken(db: Queryable, id: string): Promise<number> {
  return db.run('DELETE FROM tokens WHERE id = $1', [id]);
}

export async function insertJoinToken(
  db: Queryable,
  token: { hash: string; expiresAt: number; uses: number },
): Promise<void> {
  await db.run('INSERT INTO join_tokens (hash, expires_at, uses_left) VALUES ($1, $2, $3)', [
    token.hash,
    token.expiresAt,
    token.uses,
  ]);
}

/** Takes one use of a join token. False when there is none left or it expired. */
export async function spendJoinToken(db: Queryable, hash: string, now: number): Promise<boolean> {
  const changed = await db.run(
    `UPDATE join_tokens SET uses_left = uses_left - 1
     WHERE hash = $1 AND uses_left > 0 AND expires_at > $2`,
    [hash, now],
  );
  return changed === 1;
}

export async function deleteDeadJoinTokens(db: Queryable, now: number): Promise<void> {
  await db.run('DELETE FROM join_tokens WHERE expires_at <= $1 OR uses_left <= 0', [now]);
}
