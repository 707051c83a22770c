import type { HostFacts, HostState } from '../../domain/host.ts';
import type { HostTask } from '../../domain/host-task.ts';
import type { Queryable } from '../database.ts';

export interface HostRow {
  readonly id: string;
  readonly name: string;
  readonly state: HostState;
  readonly credential_hash: string;
  readonly facts: string | null;
  readonly agent_version: string | null;
  readonly disk_free_bytes: number | null;
  readonly last_seen_at: number | null;
  /** Workers made there so far. */
  readonly wear: number;
  readonly created_at: number;
  /** Controller that has its session, and which of its sessions that is. */
  readonly session_holder: string | null;
  readonly session_no: number;
  readonly state_reason: string | null;
  readonly drain_by: number | null;
  readonly quarantined_until: number | null;
  /** How often it was quarantined since somebody looked at it. */
  readonly strikes: number;
  /** When it was told that it is out of touch; null: it is not, or it was not told. */
  readonly lost_at: number | null;
  /** `HostTaskRecord` as JSON. */
  readonly task: string | null;
}

/** What a host is to do to itself, until it has done so. */
export interface HostTaskRecord extends HostTask {
  /** Until it is given, its host is emptied. */
  readonly given: boolean;
  /** Why, for people. */
  readonly reason: string;
  /** `quarantine`: the next rung of the ladder follows when it fails. Else the roll-out it is of. */
  readonly of?: string;
  /** When what still runs there is ended. */
  readonly drainBy?: number;
  /** When it failed, unless its end was told before; once it is given. */
  readonly endBy?: number;
}

export function taskOf(row: Pick<HostRow, 'task'>): HostTaskRecord | undefined {
  return row.task === null ? undefined : (JSON.parse(row.task) as HostTaskRecord);
}

export async function setHostTask(
  db: Queryable,
  hostId: string,
  task: HostTaskRecord | undefined,
): Promise<void> {
  const text = task === undefined ? undefined : JSON.stringify(task);
  await db.run('UPDATE hosts SET task = $2 WHERE id = $1', [hostId, text]);
}

export function factsOf(row: Pick<HostRow, 'facts'>): HostFacts | undefined {
  return row.facts === null ? undefined : (JSON.parse(row.facts) as HostFacts);
}

/** A new host, or the one of that name with a new credential: the earlier credential ends. */
export async function enrolHost(
  db: Queryable,
  host: { id: string; name: string; credentialHash: string; now: number },
): Promise<void> {
  await db.run(
    `INSERT INTO hosts (id, name, state, credential_hash, created_at)
     VALUES ($1, $2, 'active', $3, $4)
     ON CONFLICT (name) DO UPDATE SET credential_hash = $3`,
    [host.id, host.name, host.credentialHash, host.now],
  );
}

export function listHosts(db: Queryable): Promise<HostRow[]> {
  return db.all('SELECT * FROM hosts ORDER BY name');
}

export function findHostByName(db: Queryable, name: string): Promise<HostRow | undefined> {
  return db.get('SELECT * FROM hosts WHERE name = $1', [name]);
}

export function findHost(db: Queryable, id: string): Promise<HostRow | undefined> {
  return db.get('SELECT * FROM hosts WHERE id = $1', [id]);
}

export function findHostByCredential(db: Queryable, hash: string): Promise<HostRow | undefined> {
  return db.get('SELECT * FROM hosts WHERE credential_hash = $1', [hash]);
}

export async function saveHostFacts(
  db: Queryable,
  host: { id: string; facts: HostFacts; agentVersion: string | undefined },
): Promise<void> {
  await db.run(
    'UPDATE hosts SET facts = $2, agent_version = COALESCE($3, agent_version) WHERE id = $1',
    [host.id, JSON.stringify(host.facts), host.agentVersion],
  );
}

export async function saveHostSeen(
  db: Queryable,
  host: { id: string; now: number; diskFreeBytes: number | undefined },
): Promise<void> {
  await db.run(
    `UPDATE hosts SET last_seen_at = $2, disk_free_bytes = COALESCE($3, disk_free_bytes)
     WHERE id = $1`,
    [host.id, host.now, host.diskFreeBytes],
  );
}

export interface HostStateChange {
  readonly state: HostState;
  readonly reason?: string | undefined;
  /** When what still runs there is ended. */
  readonly drainBy?: number | undefined;
  readonly quarantinedUntil?: number | undefined;
}

export async function setHostState(
  db: Queryable,
  id: string,
  { state, reason, drainBy, quarantinedUntil }: HostStateChange,
): Promise<void> {
  await db.run(
    `UPDATE hosts SET state = $2, state_reason = $3, drain_by = $4, quarantined_until = $5
     WHERE id = $1`,
    [id, state, reason, drainBy, quarantinedUntil],
  );
}

export async function setHostStrikes(db: Queryable, id: string, strikes: number): Promise<void> {
  await db.run('UPDATE hosts SET strikes = $2 WHERE id = $1', [id, strikes]);
}

/**
 * Begins the session that comes next after `before`; returns its number, or undefined when another has
 * begun since. Those before it are over.
 */
export async function openSession(
  db: Queryable,
  session: { id: string; holder: string; before: number },
): Promise<number | undefined> {
  const { id, holder, before } = session;
  const changed = await db.run(
    `UPDATE hosts SET session_holder = $2, session_no = session_no + 1, lost_at = NULL
     WHERE id = $1 AND session_no = $3`,
    [id, holder, before],
  );
  return changed === 1 ? before + 1 : undefined;
}

/** Returns whether that was its session still. */
export async function closeSession(db: Queryable, id: string, no: number): Promise<boolean> {
  const changed = await db.run(
    'UPDATE hosts SET session_holder = NULL WHERE id = $1 AND session_no = $2',
    [id, no],
  );
  return changed === 1;
}

/** No host has a session. */
export async function closeAllSessions(db: Queryable): Promise<void> {
  await db.run('UPDATE hosts SET session_holder = NULL');
}

/** It is told once; returns false when it was, or the host had a session since. */
export async function noteLost(
  db: Queryable,
  { id, session, now }: { id: string; session: number; now: number },
): Promise<boolean> {
  const changed = await db.run(
    'UPDATE hosts SET lost_at = $3 WHERE id = $1 AND session_no = $2 AND lost_at IS NULL',
    [id, session, now],
  );
  return changed === 1;
}

export async function wearHost(db: Queryable, id: string): Promise<void> {
  await db.run('UPDATE hosts SET wear = wear + 1 WHERE id = $1', [id]);
}

export async function deleteHost(db: Queryable, id: string): Promise<void> {
  await db.run('DELETE FROM hosts WHERE id = $1', [id]);
}
