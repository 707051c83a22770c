import type { HostFacts, HostState } from '../../domain/host.ts';
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
  readonly created_at: number;
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

export async function setHostState(db: Queryable, id: string, state: HostState): Promise<void> {
  await db.run('UPDATE hosts SET state = $2 WHERE id = $1', [id, state]);
}

export async function deleteHost(db: Queryable, id: string): Promise<void> {
  await db.run('DELETE FROM hosts WHERE id = $1', [id]);
}
