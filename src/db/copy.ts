import { DatabaseError, type Database, type Queryable } from './database.ts';
import { migrate } from './migrate.ts';

/** Rows moved in one statement's turn. */
const BATCH = 500;

export interface Copied {
  readonly table: string;
  readonly rows: number;
}

/**
 * Copies all that an SQLite database holds into an empty PostgreSQL database: everything, or, when
 * anything fails, nothing. Both are brought up to date before. `progress` is told of each table when it
 * is done. Throws `DatabaseError` `unusable` when there is something in `to` already.
 */
export async function copyDatabase(
  from: Database,
  to: Database,
  progress: (copied: Copied) => void,
): Promise<Copied[]> {
  await migrate(from);
  await migrate(to);
  const tables = await tablesOf(from);
  const copied: Copied[] = [];
  await to.transaction(async (tx) => {
    for (const table of tables) await mustBeEmpty(tx, table);
    for (const table of tables) {
      const rows = await copyTable(from, tx, table);
      copied.push({ table, rows });
      progress({ table, rows });
    }
    for (const table of ['events', 'audit']) {
      await tx.run(
        `SELECT setval(pg_get_serial_sequence('${table}', 'seq'), COALESCE((SELECT MAX(seq) FROM ${table}), 0) + 1, false)`,
      );
    }
  });
  return copied;
}

async function tablesOf(sqlite: Database): Promise<string[]> {
  const rows = await sqlite.all<{ name: string }>(
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
  );
  // What controllers hold now they take again; migrations are those of the other database.
  return rows.map(({ name }) => name).filter((name) => name !== 'leases' && name !== 'migrations');
}

async function mustBeEmpty(tx: Queryable, table: string): Promise<void> {
  if ((await tx.get(`SELECT 1 AS n FROM ${table} LIMIT 1`)) === undefined) return;
  throw new DatabaseError(
    'unusable',
    `the table ${table} there holds rows already; copy into a new, empty database (createdb)`,
  );
}

async function copyTable(from: Database, tx: Queryable, table: string): Promise<number> {
  let after = 0;
  let count = 0;
  for (;;) {
    const rows = await from.all<Record<string, string | number | null>>(
      `SELECT rowid AS copied_row, * FROM ${table} WHERE rowid > $1 ORDER BY rowid LIMIT ${BATCH}`,
      [after],
    );
    for (const { copied_row: row, ...values } of rows) {
      const names = Object.keys(values);
      const places = names.map((_, index) => `$${index + 1}`).join(', ');
      await tx.run(
        `INSERT INTO ${table} (${names.join(', ')}) VALUES (${places})`,
        Object.values(values),
      );
      after = Number(row);
    }
    count += rows.length;
    if (rows.length < BATCH) return count;
  }
}
