import { DatabaseError, type Database } from './database.ts';
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
  await db.run(
    'CREATE TABLE IF NOT EXISTS migrations (id INTEGER PRIMARY KEY, breaking INTEGER NOT NULL)',
  );
  const done = await db.all<{ id: number; breaking: number }>(
    'SELECT id, breaking FROM migrations',
  );
  const known = new Set(migrations.map((migration) => migration.id));
  const unknown = done.find((row) => !known.has(row.id) && row.breaking === 1);
  if (unknown !== undefined) {
    throw new DatabaseError(
      'newer_schema',
      `the database was changed by a newer Pomona (migration ${unknown.id}); use that version, or restore a backup made before the upgrade`,
    );
  }
  const applied = new Set(done.map((row) => row.id));
  for (const migration of migrations) {
    if (applied.has(migration.id)) continue;
    await db.transaction(async (tx) => {
      for (const statement of statements(migration.sql)) await tx.run(statement);
      await tx.run('INSERT INTO migrations (id, breaking) VALUES ($1, $2)', [
        migration.id,
        migration.breaking ? 1 : 0,
      ]);
    });
  }
}

/** Migrations hold plain statements only: no semicolon inside one. */
function statements(sql: string): string[] {
  return sql
    .split(';')
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '');
}
