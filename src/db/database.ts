/**
 * What queries run on. The SQL is the part that SQLite and PostgreSQL share, with `$1`, `$2`, ...
 * for parameters; JSON is stored as text, booleans as 0 and 1, times as integer milliseconds.
 */
export interface Queryable {
  all<Row>(sql: string, params?: readonly SqlValue[]): Promise<Row[]>;
  get<Row>(sql: string, params?: readonly SqlValue[]): Promise<Row | undefined>;
  /** Returns how many rows changed. */
  run(sql: string, params?: readonly SqlValue[]): Promise<number>;
}

export type SqlValue = string | number | null | undefined;

export interface Database extends Queryable {
  /** Whether other processes may use it too. */
  readonly shared: boolean;
  /** A statement that defines something, as this database says it. */
  dialect(statement: string): string;
  /**
   * Runs `work` in one transaction: all of it, or, when it throws, nothing. Transactions run one
   * after the other, also those of other processes; `work` awaits nothing but queries on the `tx` it
   * is given.
   */
  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T>;
  /**
   * Returns once everything committed so far is on the disk itself, so that a power failure does
   * not undo it. Calls at the same time share one flush. Await it before telling anyone outside.
   */
  flush(): Promise<void>;
  /** Wall-clock milliseconds by the one clock that all who use the database share. */
  now(): Promise<number>;
  /** Tells all who listen, once the transaction is committed. `text` has at most 7,000 bytes. */
  tell(tx: Queryable, channel: string, text: string): Promise<void>;
  /**
   * Calls `listener` for what others tell, in the order of their commits, and for what is told here.
   * `missed` is called when something may not have been heard: all may have changed.
   */
  listen(
    channel: string,
    listener: (text: string) => void,
    missed: () => void,
  ): { close(): Promise<void> };
  close(): Promise<void>;
}

/** Thrown when the database cannot be used. */
export class DatabaseError extends Error {
  readonly code: 'newer_schema' | 'disk_full' | 'unusable';
  constructor(code: DatabaseError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DatabaseError';
    this.code = code;
  }
}
