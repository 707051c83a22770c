import type { Queryable } from '../../database.ts';

/** An integration that makes no runners until somebody resumes it. */
export interface PauseRow {
  readonly integration: string;
  readonly reason: string;
  readonly at: number;
}

export function findPause(db: Queryable, integration: string): Promise<PauseRow | undefined> {
  return db.get('SELECT * FROM ci_pauses WHERE integration = $1', [integration]);
}

/** The first reason stays. */
export async function pause(db: Queryable, row: PauseRow): Promise<void> {
  await db.run(
    'INSERT INTO ci_pauses (integration, reason, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
    [row.integration, row.reason, row.at],
  );
}

export async function resume(db: Queryable, integration: string): Promise<number> {
  return db.run('DELETE FROM ci_pauses WHERE integration = $1', [integration]);
}
