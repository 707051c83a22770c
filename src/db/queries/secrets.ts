import type { Queryable } from '../database.ts';

export interface SecretRow {
  readonly name: string;
  readonly sealed: string;
  readonly updated_at: number;
}

export async function saveSecret(db: Queryable, secret: SecretRow): Promise<void> {
  await db.run(
    `INSERT INTO secrets (name, sealed, updated_at) VALUES ($1, $2, $3)
     ON CONFLICT (name) DO UPDATE SET sealed = $2, updated_at = $3`,
    [secret.name, secret.sealed, secret.updated_at],
  );
}

export function findSecret(db: Queryable, name: string): Promise<SecretRow | undefined> {
  return db.get('SELECT * FROM secrets WHERE name = $1', [name]);
}

export function listSecrets(db: Queryable): Promise<Pick<SecretRow, 'name' | 'updated_at'>[]> {
  return db.all('SELECT name, updated_at FROM secrets ORDER BY name');
}

export function deleteSecret(db: Queryable, name: string): Promise<number> {
  return db.run('DELETE FROM secrets WHERE name = $1', [name]);
}
