import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import { openIndexDatabase } from './schema.ts';

const SQLITE_FULL = 13;
const FULL_DISK_MS = 10_000;
const RETRY_MS = 100;

/** A database whose statements are prepared once, and that waits for room where the disk is full. */
export class IndexDatabase {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /** Throws `IndexError` for a file that this program cannot work with. */
  constructor(path: string) {
    this.#db = openIndexDatabase(path);
  }

  close(): void {
    this.#db.close();
  }

  /** All of it or nothing; one within another is part of that. */
  transaction<T>(work: () => T): T {
    if (this.#db.isTransaction) return work();
    return whenThereIsRoom(() => {
      this.#db.exec('BEGIN IMMEDIATE');
      try {
        const result = work();
        this.#db.exec('COMMIT');
        return result;
      } catch (error) {
        // A full disk ends the transaction by itself.
        if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
        throw error;
      }
    });
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  get<Row>(sql: string, ...params: SQLInputValue[]): Row | undefined {
    return this.#prepare(sql).get(...params) as Row | undefined;
  }

  all<Row>(sql: string, ...params: SQLInputValue[]): Row[] {
    return this.#prepare(sql).all(...params) as Row[];
  }

  /** Returns how many rows it changed. */
  run(sql: string, ...params: SQLInputValue[]): number {
    const run = () => Number(this.#prepare(sql).run(...params).changes);
    return this.#db.isTransaction ? run() : whenThereIsRoom(run);
  }
}

/**
 * Tries again for a while when the disk is full: commands fill disks, and what they wrote is being
 * removed. Nothing else of this process can go on meanwhile, since all of it needs the index.
 */
function whenThereIsRoom<T>(work: () => T): T {
  const deadline = performance.now() + FULL_DISK_MS;
  for (;;) {
    try {
      return work();
    } catch (error) {
      const full = (error as { errcode?: number }).errcode === SQLITE_FULL;
      if (!full || performance.now() > deadline) throw error;
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
  }
}
