import type { Leak } from '../../domain/leak.ts';
import type { Queryable } from '../database.ts';

export interface LeakRow {
  /** `host ID`, `integration NAME` or `files`. */
  readonly source: string;
  readonly kind: string;
  readonly name: string;
  readonly since: number;
  readonly problem: string | null;
}

export function listLeaks(db: Queryable): Promise<LeakRow[]> {
  return db.all('SELECT * FROM leaks ORDER BY source, kind, name');
}

/** What a source sees now, in the place of what it saw before. */
export async function saveLeaks(
  tx: Queryable,
  source: string,
  leaks: readonly Leak[],
): Promise<void> {
  await tx.run('DELETE FROM leaks WHERE source = $1', [source]);
  for (const { kind, name, since, problem } of leaks) {
    await tx.run(
      'INSERT INTO leaks (source, kind, name, since, problem) VALUES ($1, $2, $3, $4, $5)',
      [source, kind, name, since, problem],
    );
  }
}
