import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import { copyDatabase } from '../db/copy.ts';
import { isPostgres, openPostgres, withoutPassword } from '../db/postgres.ts';
import { openSqlite } from '../db/sqlite.ts';
import { lockDirectory } from '../platform/directory-lock.ts';
import { UsageError } from './errors.ts';
import { printJson } from './output.ts';
import { dataDirFor } from './serving.ts';

interface CopyOptions {
  readonly data?: string;
  readonly to: string;
  readonly json?: boolean;
}

export function command(): Command {
  const db = new Command('db').description('look after the database of a controller');
  db.command('copy')
    .description('copy what a controller on SQLite knows into an empty PostgreSQL database')
    .requiredOption(
      '--to <url>',
      'postgres://USER@HOST/DATABASE; the password may be in PGPASSWORD',
    )
    .option('--data <dir>', 'data directory of the controller, which must not run')
    .option('--json', 'print what was copied as JSON')
    .addHelpText(
      'after',
      `
All is copied or nothing; the SQLite database stays as it is. Afterwards set in pomona.yaml:

  database: postgres://USER@HOST/DATABASE
  files: DIR        where logs, artifacts and sources are, shared by all controllers:
                    move logs/, artifacts/ and sources/ of DATA/controller there
  secretsKey: FILE  a copy of DATA/controller/secrets.key, the same for all controllers

Example:
  createdb pomona && pomona db copy --to postgres://pomona@db/pomona`,
    )
    .action(copy);
  return db;
}

async function copy(options: CopyOptions): Promise<void> {
  if (!isPostgres(options.to)) {
    throw new UsageError(`--to expects postgres://USER@HOST/DATABASE, not ${options.to}`);
  }
  const dir = join(dataDirFor(options), 'controller');
  const path = join(dir, 'pomona.db');
  await access(path).catch(() => {
    throw new UsageError(`there is no database ${path}; name the data directory with --data`);
  });
  const lock = await lockDirectory(dir, 'pomona db copy');
  const from = openSqlite(path);
  try {
    const to = await openPostgres(options.to);
    try {
      const copied = await copyDatabase(from, to, ({ table, rows }) => {
        if (options.json !== true) process.stderr.write(`${table}: ${rows} rows\n`);
      });
      if (options.json === true) return printJson(copied);
      process.stdout.write(`copied to ${withoutPassword(options.to)}; see pomona db copy --help\n`);
    } finally {
      await to.close();
    }
  } finally {
    await from.close();
    lock.release();
  }
}
