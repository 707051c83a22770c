import type { Queryable } from '../database.ts';

/** What one controller holds until a time, unless it renews it. */
export interface LeaseRow {
  readonly name: string;
  readonly holder: string;
  /** Rises with each holder. */
  readonly epoch: number;
  /** By the database's clock. */
  readonly expires_at: number;
}

export function findLease(db: Queryable, name: string): Promise<LeaseRow | undefined> {
  return db.get('SELECT * FROM leases WHERE name = $1', [name]);
}

export function listLeases(db: Queryable): Promise<LeaseRow[]> {
  return db.all('SELECT * FROM leases ORDER BY name');
}

export async function saveLease(db: Queryable, lease: LeaseRow): Promise<void> {
  await db.run(
    `INSERT INTO leases (name, holder, epoch, expires_at) VALUES ($1, $2, $3, $4)
     ON CONFLICT (name) DO UPDATE SET holder = $2, epoch = $3, expires_at = $4`,
    [lease.name, lease.holder, lease.epoch, lease.expires_at],
  );
}

export async function renewLeases(db: Queryable, holder: string, expiresAt: number): Promise<void> {
  await db.run('UPDATE leases SET expires_at = $2 WHERE holder = $1', [holder, expiresAt]);
}

/** Lets others have what this holder has; their epochs go on from its. */
export async function giveUpLeases(db: Queryable, holder: string): Promise<void> {
  await db.run('UPDATE leases SET expires_at = 0 WHERE holder = $1', [holder]);
}

export async function deleteLeasesExpiredBefore(
  db: Queryable,
  prefix: string,
  before: number,
): Promise<void> {
  await db.run('DELETE FROM leases WHERE name LIKE $1 AND expires_at < $2', [
    ...[`${prefix}%`, before],
  ]);
}
