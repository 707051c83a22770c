import type { Queryable } from '../database.ts';

/** Somebody did something, or tried to. */
export interface AuditRow {
  readonly seq: number;
  readonly at: number;
  readonly who: string;
  readonly role: string;
  /** Id of the operation, `signIn`, `signOut` or `shell`. */
  readonly action: string;
  readonly target: string;
  readonly detail: string | null;
  /** HTTP status of the answer. */
  readonly status: number;
  readonly address: string | null;
}

export async function insertAudit(db: Queryable, row: Omit<AuditRow, 'seq'>): Promise<void> {
  await db.run(
    `INSERT INTO audit (at, who, role, action, target, detail, status, address)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
    [row.at, row.who, row.role, row.action, row.target, row.detail, row.status, row.address],
  );
}

/** Newest first. */
export function listAudit(
  db: Queryable,
  filter: { before?: number | undefined; who?: string | undefined; action?: string | undefined },
  limit: number,
): Promise<AuditRow[]> {
  return db.all(
    `SELECT * FROM audit
     WHERE (CAST($1 AS BIGINT) IS NULL OR seq < $1)
       AND (CAST($2 AS TEXT) IS NULL OR who = $2)
       AND (CAST($3 AS TEXT) IS NULL OR action = $3)
     ORDER BY seq DESC LIMIT $4`,
    [filter.before, filter.who, filter.action, limit],
  );
}

export async function deleteAuditBefore(db: Queryable, at: number): Promise<void> {
  await db.run('DELETE FROM audit WHERE at < $1', [at]);
}
