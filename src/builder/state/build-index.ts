import { randomBytes } from 'node:crypto';
import { IndexDatabase } from './index-database.ts';
import type { FailureRow, FlightRow, ResultRow } from './index-rows.ts';

/**
 * What is known of a store's results, caches and steps in flight, shared by all processes that
 * work on the store. Each call is one transaction.
 */
export class BuildIndex {
  readonly #db: IndexDatabase;

  constructor(path: string) {
    this.#db = new IndexDatabase(path);
  }

  close(): void {
    this.#db.close();
  }

  /** The random bytes that keys of secrets are made with, the same for all who share the store. */
  secretKey(): Buffer {
    const fresh = randomBytes(32).toString('hex');
    this.#db.run("INSERT OR IGNORE INTO settings VALUES ('secret-key', ?)", fresh);
    const find = "SELECT value FROM settings WHERE name = 'secret-key'";
    const row = this.#db.get<{ value: string }>(find);
    return Buffer.from(row?.value ?? '', 'hex');
  }

  result(id: string): ResultRow | undefined {
    return this.#db.get('SELECT * FROM results WHERE id = ?', id);
  }

  results(): ResultRow[] {
    return this.#db.all('SELECT * FROM results ORDER BY used_at, id');
  }

  /** Results that are being made or removed. */
  changing(): ResultRow[] {
    return this.#db.all("SELECT * FROM results WHERE state <> 'ready'");
  }

  /** Remembers by which name others may ask for a result. */
  saveHint(hint: string, id: string): void {
    this.#db.run('INSERT OR REPLACE INTO hints VALUES (?, ?)', hint, id);
  }

  /** Names of results that are there, those used last first. */
  hints(most: number): string[] {
    const rows = this.#db.all<{ hint: string }>(
      `SELECT hint FROM hints JOIN results USING (id) WHERE state = 'ready'
       ORDER BY used_at DESC, hint LIMIT ?`,
      most,
    );
    return rows.map(({ hint }) => hint);
  }

  childrenOf(id: string): ResultRow[] {
    return this.#db.all('SELECT * FROM results WHERE parent = ?', id);
  }

  countResults(): number {
    return this.#db.get<{ n: number }>('SELECT COUNT(*) AS n FROM results')?.n ?? 0;
  }

  /** Marks a ready result as used now and held by `owner`. Undefined when it is not there. */
  useResult(id: string, owner: string, now: number): ResultRow | undefined {
    return this.#db.transaction(() => {
      const row = this.result(id);
      if (row?.state !== 'ready') return undefined;
      this.#hold(id, owner);
      this.#db.run('UPDATE results SET used_at = MAX(used_at, ?) WHERE id = ?', now, id);
      return row;
    });
  }

  /** Takes back one hold. */
  release(id: string, owner: string): void {
    this.#db.transaction(() => {
      this.#db.run('UPDATE uses SET n = n - 1 WHERE id = ? AND owner = ?', id, owner);
      this.#db.run('DELETE FROM uses WHERE id = ? AND owner = ? AND n <= 0', id, owner);
    });
  }

  #hold(id: string, owner: string): void {
    this.#db.run(
      'INSERT INTO uses VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET n = n + 1',
      id,
      owner,
    );
  }

  /** Says what the store will have in a moment. */
  beginCommit(
    row: Pick<ResultRow, 'id' | 'parent' | 'heading' | 'config' | 'log' | 'took_ms' | 'boot'>,
    owner: string,
    now: number,
  ): void {
    this.#db.run(
      `INSERT OR REPLACE INTO results VALUES (?, 'committing', ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)`,
      ...[row.id, owner, row.parent, row.heading, row.config, row.log, now, now],
      ...[row.took_ms, row.boot],
    );
  }

  /** The store has it: it is ready, held by `owner`, and its flight is over. */
  endCommit(id: string, owner: string): void {
    this.#db.transaction(() => {
      this.#db.run("UPDATE results SET state = 'ready', owner = NULL WHERE id = ?", id);
      this.#hold(id, owner);
      this.#db.run('DELETE FROM flights WHERE id = ? AND owner = ?', id, owner);
    });
  }

  /** What was to be committed is, as a look at the store shows. */
  adopt(id: string): void {
    this.#db.run("UPDATE results SET state = 'ready', owner = NULL WHERE id = ?", id);
  }

  /**
   * Marks a result for removal, which it then is for everyone. False when a build needs it, another
   * result was made from it, or it is pinned.
   */
  beginDelete(id: string, owner: string): boolean {
    const changed = this.#db.run(
      `UPDATE results SET state = 'deleting', owner = ? WHERE id = ? AND state = 'ready'
         AND NOT EXISTS (SELECT 1 FROM uses WHERE uses.id = results.id)
         AND NOT EXISTS (SELECT 1 FROM pins WHERE pins.id = results.id)
         AND NOT EXISTS (SELECT 1 FROM results AS child WHERE child.parent = results.id)`,
      owner,
      id,
    );
    return changed === 1;
  }

  /** Whoever began to remove it is gone: `owner` goes on. */
  takeOverDelete(id: string, owner: string): void {
    this.#db.run("UPDATE results SET owner = ? WHERE id = ? AND state = 'deleting'", owner, id);
  }

  /** It could not be removed, and so is still there. */
  undoDelete(id: string): void {
    this.#db.run(
      "UPDATE results SET state = 'ready', owner = NULL WHERE id = ? AND state = 'deleting'",
      id,
    );
  }

  forgetResult(id: string): void {
    this.#db.run('DELETE FROM results WHERE id = ?', id);
    this.#db.run('DELETE FROM hints WHERE id = ?', id);
  }

  /** Ready results from which none was made, that nobody needs: least lately used first. */
  removable(usedBefore: number, limit: number): ResultRow[] {
    return this.#db.all(
      `SELECT * FROM results AS r WHERE state = 'ready' AND used_at < ?
         AND NOT EXISTS (SELECT 1 FROM uses WHERE uses.id = r.id)
         AND NOT EXISTS (SELECT 1 FROM pins WHERE pins.id = r.id)
         AND NOT EXISTS (SELECT 1 FROM results AS child WHERE child.parent = r.id)
       ORDER BY used_at LIMIT ?`,
      usedBefore,
      limit,
    );
  }

  /** Results that a build needs or a pin names. */
  keptIds(): string[] {
    return this.#db
      .all<{ id: string }>('SELECT id FROM uses UNION SELECT id FROM pins')
      .map(({ id }) => id);
  }

  /** Results of this boot are on the disk itself. */
  markFlushed(ids: readonly string[]): void {
    this.#db.transaction(() => {
      for (const id of ids) this.#db.run('UPDATE results SET flushed = 1 WHERE id = ?', id);
    });
  }

  unflushed(): ResultRow[] {
    return this.#db.all("SELECT * FROM results WHERE flushed = 0 AND state = 'ready'");
  }

  /** Begins a step, unless someone is at it: then that flight is returned. */
  beginFlight(id: string, owner: string, logFor: (attempt: number) => string): FlightRow {
    return this.#db.transaction(() => {
      const there = this.flight(id);
      if (there !== undefined) return there;
      return this.#newFlight(id, owner, logFor);
    });
  }

  /** Begins a step anew whose owner is gone. Undefined when someone else was first. */
  takeOverFlight(
    gone: FlightRow,
    owner: string,
    logFor: (attempt: number) => string,
  ): FlightRow | undefined {
    return this.#db.transaction(() => {
      const there = this.flight(gone.id);
      if (there === undefined || there.attempt !== gone.attempt) return undefined;
      this.#db.run('DELETE FROM flights WHERE id = ?', gone.id);
      return this.#newFlight(gone.id, owner, logFor);
    });
  }

  #newFlight(id: string, owner: string, logFor: (attempt: number) => string): FlightRow {
    this.#db.run(
      `INSERT INTO settings VALUES ('attempts', '1')
       ON CONFLICT DO UPDATE SET value = CAST(value AS INTEGER) + 1`,
    );
    const row = this.#db.get<{ value: string }>(
      "SELECT value FROM settings WHERE name = 'attempts'",
    );
    const attempt = Number(row?.value);
    const flight = { id, owner, attempt, log: logFor(attempt) };
    this.#db.run('INSERT INTO flights VALUES (?, ?, ?, ?)', id, owner, attempt, flight.log);
    return flight;
  }

  flight(id: string): FlightRow | undefined {
    return this.#db.get('SELECT * FROM flights WHERE id = ?', id);
  }

  flights(): FlightRow[] {
    return this.#db.all('SELECT * FROM flights');
  }

  /** A step ended without a result. */
  failFlight(flight: FlightRow, heading: string, ending: unknown, now: number): void {
    this.#db.transaction(() => {
      this.endFlight(flight);
      this.#db.run(
        'INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?, ?, ?)',
        ...[flight.id, flight.attempt, heading, JSON.stringify(ending), flight.log, now],
      );
    });
  }

  endFlight(flight: FlightRow): void {
    this.#db.run('DELETE FROM flights WHERE id = ? AND attempt = ?', flight.id, flight.attempt);
  }

  failure(id: string, attempt: number): FailureRow | undefined {
    return this.#db.get('SELECT * FROM failures WHERE id = ? AND attempt = ?', id, attempt);
  }

  /** Newest first. */
  failures(): FailureRow[] {
    return this.#db.all('SELECT * FROM failures ORDER BY at DESC, attempt DESC');
  }

  /** Forgets all but the newest failures; returns those forgotten. */
  forgetFailures(keep: number): FailureRow[] {
    const old = this.failures().slice(keep);
    for (const { id, attempt } of old) {
      this.#db.run('DELETE FROM failures WHERE id = ? AND attempt = ?', id, attempt);
    }
    return old;
  }

  wait(id: string, owner: string): void {
    this.#db.run('INSERT OR IGNORE INTO waiters VALUES (?, ?)', id, owner);
  }

  stopWaiting(id: string, owner: string): void {
    this.#db.run('DELETE FROM waiters WHERE id = ? AND owner = ?', id, owner);
  }

  waiters(id: string): string[] {
    return this.#db
      .all<{ owner: string }>('SELECT owner FROM waiters WHERE id = ?', id)
      .map(({ owner }) => owner);
  }

  /** Everyone who holds anything. */
  owners(): string[] {
    return this.#db
      .all<{ owner: string }>(
        `SELECT owner FROM uses UNION SELECT owner FROM waiters UNION SELECT owner FROM cache_uses
       UNION SELECT owner FROM flights
       UNION SELECT owner FROM results WHERE owner IS NOT NULL`,
      )
      .map(({ owner }) => owner);
  }

  /** Takes back all holds of an owner that is gone. Its flights stay, to be taken over. */
  forgetOwner(owner: string): void {
    this.#db.transaction(() => {
      for (const table of ['uses', 'waiters', 'cache_uses']) {
        this.#db.run(`DELETE FROM ${table} WHERE owner = ?`, owner);
      }
    });
  }

  pin(name: string, id: string, now: number): void {
    this.#db.run('INSERT OR REPLACE INTO pins VALUES (?, ?, ?)', name, id, now);
  }

  /** False when there is no such pin. */
  unpin(name: string): boolean {
    return this.#db.run('DELETE FROM pins WHERE name = ?', name) === 1;
  }

  pins(): { name: string; id: string; at: number }[] {
    return this.#db.all('SELECT * FROM pins ORDER BY name');
  }

  /** The newest version of a cache, held by `owner`. */
  useCache(name: string, owner: string, now: number): string | undefined {
    return this.#db.transaction(() => {
      const find = 'SELECT version FROM caches WHERE name = ?';
      const row = this.#db.get<{ version: string }>(find, name);
      if (row === undefined) return undefined;
      this.#db.run('UPDATE caches SET used_at = ? WHERE name = ?', now, name);
      this.#db.run(
        'INSERT INTO cache_uses VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET n = n + 1',
        row.version,
        owner,
      );
      return row.version;
    });
  }

  releaseCache(version: string, owner: string): void {
    this.#db.transaction(() => {
      this.#db.run(
        'UPDATE cache_uses SET n = n - 1 WHERE version = ? AND owner = ?',
        version,
        owner,
      );
      this.#db.run('DELETE FROM cache_uses WHERE n <= 0');
    });
  }

  /** Makes `next` the newest version, unless `before` (undefined: none) is not any more. */
  replaceCache(name: string, before: string | undefined, next: string, now: number): boolean {
    return this.#db.transaction(() => {
      const find = 'SELECT version FROM caches WHERE name = ?';
      const row = this.#db.get<{ version: string }>(find, name);
      if (row?.version !== before) return false;
      this.#db.run('INSERT OR REPLACE INTO caches VALUES (?, ?, ?)', name, next, now);
      return true;
    });
  }

  caches(): { name: string; version: string; used_at: number }[] {
    return this.#db.all('SELECT * FROM caches ORDER BY used_at, name');
  }

  /** False when it is in use. */
  forgetCache(name: string): boolean {
    const changed = this.#db.run(
      `DELETE FROM caches WHERE name = ?
         AND NOT EXISTS (SELECT 1 FROM cache_uses WHERE cache_uses.version = caches.version)`,
      name,
    );
    return changed === 1;
  }

  /** Whether anyone reads that version, or could begin to. */
  cacheVersionNeeded(version: string): boolean {
    const sql = `SELECT 1 FROM caches WHERE version = ?1
      UNION ALL SELECT 1 FROM cache_uses WHERE version = ?1 LIMIT 1`;
    return this.#db.get(sql, version) !== undefined;
  }

  contentsOf(root: string): Map<string, { stat: string; sha256: string }> {
    const rows = this.#db.all<{ path: Uint8Array; stat: string; sha256: string }>(
      'SELECT path, stat, sha256 FROM contents WHERE root = ?',
      root,
    );
    return new Map(
      rows.map(({ path, stat, sha256 }) => [
        Buffer.from(path.buffer, path.byteOffset, path.length).toString('latin1'),
        { stat, sha256 },
      ]),
    );
  }

  saveContents(
    root: string,
    rows: Iterable<{ readonly path: Uint8Array; readonly stat: string; readonly sha256: string }>,
  ): void {
    this.#db.transaction(() => {
      for (const { path, stat, sha256 } of rows) {
        this.#db.run(
          'INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?)',
          root,
          path,
          stat,
          sha256,
        );
      }
    });
  }
}
