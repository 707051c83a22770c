import type { Trials } from '../../domain/evidence.ts';
import type {
  HostRolloutKind,
  HostRolloutState,
  RolloutHostState,
} from '../../domain/host-rollout.ts';
import type { Queryable } from '../database.ts';

export interface HostRolloutRow {
  readonly what: HostRolloutKind;
  /** The version, or the settings as JSON. */
  readonly value: string;
  /** Labels of the hosts it is for, as JSON. */
  readonly labels: string;
  readonly state: HostRolloutState;
  readonly rings: string;
  readonly ring: number;
  readonly ring_done_at: number | null;
  readonly at_once: number;
  readonly soak_ms: number;
  /** What runs on a host is ended after this time. */
  readonly within_ms: number | null;
  readonly reason: string | null;
  readonly started_at: number;
  readonly updated_at: number;
}

export interface RolloutHostRow {
  readonly what: HostRolloutKind;
  readonly host_id: string;
  readonly state: RolloutHostState;
  /** What it had. */
  readonly before: string | null;
  readonly detail: string | null;
  /** Since when it is in this state. */
  readonly since: number;
}

export function listHostRollouts(db: Queryable): Promise<HostRolloutRow[]> {
  return db.all('SELECT * FROM host_rollouts ORDER BY what');
}

export function findHostRollout(
  db: Queryable,
  what: HostRolloutKind,
): Promise<HostRolloutRow | undefined> {
  return db.get('SELECT * FROM host_rollouts WHERE what = $1', [what]);
}

/** Begins one, in the place of what there was. */
export async function insertHostRollout(
  tx: Queryable,
  row: Pick<HostRolloutRow, 'what' | 'value' | 'labels' | 'rings' | 'at_once' | 'soak_ms'> & {
    readonly within_ms: number | null;
    readonly now: number;
  },
): Promise<void> {
  await deleteHostRollout(tx, row.what);
  await tx.run(
    `INSERT INTO host_rollouts (what, value, labels, state, rings, ring, at_once, soak_ms, within_ms,
       started_at, updated_at)
     VALUES ($1, $2, $3, 'running', $4, 0, $5, $6, $7, $8, $8)`,
    [row.what, row.value, row.labels, row.rings, row.at_once, row.soak_ms, row.within_ms, row.now],
  );
}

export async function deleteHostRollout(tx: Queryable, what: HostRolloutKind): Promise<void> {
  await tx.run('DELETE FROM host_rollouts WHERE what = $1', [what]);
  await tx.run('DELETE FROM host_rollout_hosts WHERE what = $1', [what]);
}

export async function moveHostRollout(
  tx: Queryable,
  what: HostRolloutKind,
  to: {
    readonly state: HostRolloutState;
    readonly ring: number;
    readonly ringDoneAt: number | undefined;
    readonly reason: string | undefined;
    readonly now: number;
  },
): Promise<void> {
  await tx.run(
    `UPDATE host_rollouts SET state = $2, ring = $3, ring_done_at = $4, reason = $5, updated_at = $6
     WHERE what = $1`,
    [what, to.state, to.ring, to.ringDoneAt, to.reason, to.now],
  );
}

export function rolloutHosts(db: Queryable, what: HostRolloutKind): Promise<RolloutHostRow[]> {
  return db.all('SELECT * FROM host_rollout_hosts WHERE what = $1', [what]);
}

/** `before` stays what it was when it is left out. */
export async function setRolloutHost(
  tx: Queryable,
  host: {
    readonly what: HostRolloutKind;
    readonly hostId: string;
    readonly state: RolloutHostState;
    readonly before?: string | undefined;
    readonly detail?: string | undefined;
    readonly now: number;
  },
): Promise<void> {
  const { what, hostId, state, before, detail, now } = host;
  await tx.run(
    `INSERT INTO host_rollout_hosts (what, host_id, state, before, detail, since)
     VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (what, host_id) DO UPDATE SET state = $3, detail = $5, since = $6,
       before = COALESCE($4, host_rollout_hosts.before)`,
    [what, hostId, state, before, detail, now],
  );
}

/** How work went since a time on hosts that have the new one, and without it. */
export async function rolloutEvidence(
  db: Queryable,
  what: HostRolloutKind,
  since: number,
): Promise<{ new: Trials; old: Trials }> {
  const rows = await db.all<{ has: number; failed: number; n: number }>(
    `SELECT has, SUM(failed) AS failed, COUNT(*) AS n FROM (
       SELECT o.failed, CASE WHEN h.state = 'done' AND o.at >= h.since THEN 1 ELSE 0 END AS has
       FROM host_outcomes o
       LEFT JOIN host_rollout_hosts h ON h.what = $1 AND h.host_id = o.host_id
       WHERE o.at >= $2
     ) AS outcomes GROUP BY has`,
    [what, since],
  );
  const of = (has: number): Trials => {
    const row = rows.find((each) => Number(each.has) === has);
    return { failed: Number(row?.failed ?? 0), trials: Number(row?.n ?? 0) };
  };
  return { new: of(1), old: of(0) };
}

export async function forgetRolloutHost(tx: Queryable, hostId: string): Promise<void> {
  await tx.run('DELETE FROM host_rollout_hosts WHERE host_id = $1', [hostId]);
}
