import { open, type FileHandle } from 'node:fs/promises';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { DatabaseError, type Database, type Queryable, type SqlValue } from './database.ts';

/** What SQLite calls a database that is in memory alone. */
const MEMORY = ':memory:';

/** SQLite's primary result codes that have a meaning of their own here (sqlite3.h). */
const SQLITE_FULL = 13;
const SQLITE_IOERR = 10;

/**
 * Opens (or makes) an SQLite database file in WAL mode; `:memory:` is kept nowhere. A commit survives the death of the process
 * at once, and a power failure after `flush`. The caller holds the lock of the data directory: one
 * process at a time.
 */
export function openSqlite(path: string): Database {
  return new SqliteDatabase(path);
}

class SqliteDatabase implements Database, Queryable {
  readonly shared = false;
  readonly #path: string;
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  /** Settles when the transaction that runs now, and those queued behind it, are over. */
  #tail: Promise<void> = Promise.resolve();
  #inTransaction = 0;
  #wal: FileHandle | undefined;
  #flushing: Promise<void> | undefined;
  #nextFlush: Promise<void> | undefined;

  constructor(path: string) {
    this.#path = path;
    try {
      this.#db = new DatabaseSync(path);
      this.#db.exec('PRAGMA journal_mode = WAL');
      this.#db.exec('PRAGMA synchronous = NORMAL');
      this.#db.exec('PRAGMA foreign_keys = ON');
      this.#db.exec('PRAGMA busy_timeout = 5000');
    } catch (cause) {
      throw translate(cause, path);
    }
  }

  dialect(statement: string): string {
    return statement;
  }

  async all<Row>(sql: string, params: readonly SqlValue[] = []): Promise<Row[]> {
    await this.#idle();
    return this.#all<Row>(sql, params);
  }

  async get<Row>(sql: string, params: readonly SqlValue[] = []): Promise<Row | undefined> {
    await this.#idle();
    return this.#all<Row>(sql, params)[0];
  }

  async run(sql: string, params: readonly SqlValue[] = []): Promise<number> {
    await this.#idle();
    return this.#run(sql, params);
  }

  async transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T> {
    const before = this.#tail;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#tail = promise;
    this.#inTransaction += 1;
    await before;
    try {
      this.#exec('BEGIN IMMEDIATE');
      try {
        const result = await work({
          all: async (sql, params = []) => this.#all(sql, params),
          get: async <Row>(sql: string, params: readonly SqlValue[] = []) =>
            this.#all<Row>(sql, params)[0],
          run: async (sql, params = []) => this.#run(sql, params),
        });
        this.#exec('COMMIT');
        return result;
      } catch (error) {
        if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
        throw error;
      }
    } finally {
      this.#inTransaction -= 1;
      resolve();
    }
  }

  /** The write-ahead log is flushed through a handle of its own, off the main thread. */
  async flush(): Promise<void> {
    if (this.#path === MEMORY) return;
    if (this.#flushing === undefined) {
      this.#flushing = this.#sync().finally(() => {
        this.#flushing = undefined;
      });
      return this.#flushing;
    }
    // What was committed after the running flush began needs the one after it.
    this.#nextFlush ??= this.#flushing
      .catch(() => undefined)
      .then(() => {
        this.#nextFlush = undefined;
        return this.flush();
      });
    return this.#nextFlush;
  }

  async #sync(): Promise<void> {
    this.#wal ??= await open(`${this.#path}-wal`, 'r+');
    await this.#wal.datasync();
  }

  async now(): Promise<number> {
    return Date.now();
  }

  /** Nobody else uses the database, so nobody is told. */
  async tell(): Promise<void> {
    // Nothing is left to do.
  }

  listen(): { close(): Promise<void> } {
    return { close: async () => undefined };
  }

  async close(): Promise<void> {
    await this.#tail;
    await this.#nextFlush?.catch(() => undefined);
    await this.#flushing?.catch(() => undefined);
    await this.#wal?.close();
    this.#db.close();
  }

  async #idle(): Promise<void> {
    while (this.#inTransaction > 0) await this.#tail;
  }

  #all<Row>(sql: string, params: readonly SqlValue[]): Row[] {
    try {
      return this.#statement(sql).all(bind(params)) as Row[];
    } catch (cause) {
      throw translate(cause, this.#path);
    }
  }

  #run(sql: string, params: readonly SqlValue[]): number {
    try {
      return Number(this.#statement(sql).run(bind(params)).changes);
    } catch (cause) {
      throw translate(cause, this.#path);
    }
  }

  #exec(sql: string): void {
    try {
      this.#db.exec(sql);
    } catch (cause) {
      throw translate(cause, this.#path);
    }
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

function bind(params: readonly SqlValue[]): Record<string, string | number | null> {
  const named: Record<string, string | number | null> = {};
  params.forEach((value, index) => {
    named[`$${index + 1}`] = value ?? null;
  });
  return named;
}

function translate(cause: unknown, path: string): unknown {
  const code = (cause as { errcode?: number }).errcode;
  if (code === undefined) return cause;
  const primary = code & 0xff;
  if (primary === SQLITE_FULL || primary === SQLITE_IOERR) {
    return new DatabaseError(
      'disk_full',
      `the database ${path} cannot be written: the disk is full or failing; make room there`,
      { cause },
    );
  }
  return cause;
}
