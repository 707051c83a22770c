export interface Migration {
  /** 1, 2, 3, ... without gaps. */
  readonly id: number;
  /** True when a binary that does not know this migration must not use the database. */
  readonly breaking: boolean;
  /** Plain statements, separated by semicolons. */
  readonly sql: string;
}
