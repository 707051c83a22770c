import { DatabaseError, type Database, type Queryable } from './database.ts';
import type { Migration } from './migrations/migration.ts';
import { MIGRATIONS } from './migrations/migrations.ts';

/**
 * Brings the schema up to date, each migration in a transaction of its own. Throws `DatabaseError`
 * `newer_schema` when a newer Pomona made a breaking change that this one does not know.
 */
export async function migrate(
  db: Database,
  migrations: readonly Migration[] = MIGRATIONS,
): Promise<void> {
  await db.transaction(async (tx) => {
    await tx.run(
      'CREATE TABLE IF NOT EXISTS migrations (id INTEGER PRIMARY KEY, breaking INTEGER NOT NULL)',
    );
    await refuseNewer(tx, migrations);
  });
  for (const { id, breaking, sql } of migrations) {
    // Another controller may have done it meanwhile.
    await db.transaction(async (tx) => {
      if ((await tx.get('SELECT id FROM migrations WHERE id = $1', [id])) !== undefined) return;
      for (const statement of statements(sql)) await tx.run(db.dialect(statement));
      const values = [id, breaking ? 1 : 0];
      await tx.run('INSERT INTO migrations (id, breaking) VALUES ($1, $2)', values);
    });
  }
}

async function refuseNewer(tx: Queryable, migrations: readonly Migration[]): Promise<void> {
  const known = new Set(migrations.map((migration) => migration.id));
  const done = await tx.all<{ id: number; breaking: number }>(
    'SELECT id, breaking FROM migrations',
  );
  const unknown = done.find((row) => !known.has(row.id) && row.breaking === 1);
  if (unknown === undefined) return;
  throw new DatabaseError(
    'newer_schema',
    `the database was changed by a newer Pomona (migration ${unknown.id}); use that version, or restore a backup made before the upgrade`,
  );
}

/** Migrations hold plain statements only: no semicolon inside one. */
function statements(sql: string): string[] {
  return sql
    .split(';')
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '');
}
