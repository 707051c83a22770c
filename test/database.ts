import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import pg from 'pg';
import type { Database } from '../src/db/database.ts';
import { openPostgres } from '../src/db/postgres.ts';
import { openSqlite } from '../src/db/sqlite.ts';

/**
 * A new, empty database: SQLite below `dir`, or one on the PostgreSQL server that POMONA_TEST_DATABASE
 * names, so that the same tests run over both.
 */
export async function newDatabase(dir: string): Promise<Database> {
  const server = process.env['POMONA_TEST_DATABASE'];
  if (server === undefined) return openSqlite(join(dir, 'pomona.db'));
  const name = `pomona_${randomBytes(6).toString('hex')}`;
  const client = new pg.Client({ connectionString: server });
  await client.connect();
  await client.query(`CREATE DATABASE ${name}`);
  await client.end();
  const url = new URL(server);
  url.pathname = name;
  return openPostgres(url.toString());
}
