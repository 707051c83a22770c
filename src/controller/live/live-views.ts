import { alarmsOf, driftOf } from '../../domain/host-look.ts';
import { hostLabels, wantedImages } from '../../domain/scheduling/fit.ts';
import type { Pool } from '../../domain/pool.ts';
import { factsOf, taskOf, type HostRow } from '../../db/queries/hosts.ts';
import { labelsOf, payloadOf, type JobRow } from '../../db/queries/jobs.ts';
import { VERSION } from '../../platform/version.ts';
import type { LiveHost, LiveJob } from '../../protocol/api/live-resources.ts';

/** Rows as a page on the wall shows them: only what a tile or a line needs. */

const TITLE_LENGTH = 200;
const GIB = 2 ** 30;

export function liveHost(row: HostRow, online: boolean, pools: readonly Pool[]): LiveHost {
  const facts = factsOf(row);
  const task = taskOf(row);
  const diskFreeBytes = row.disk_free_bytes === null ? undefined : Number(row.disk_free_bytes);
  const seen = {
    ...{ state: row.state, stateReason: row.state_reason ?? undefined, online, facts },
    ...{ lost: row.lost_at !== null, diskFreeBytes, agentVersion: row.agent_version ?? undefined },
  };
  const images = facts === undefined ? [] : wantedImages(pools, facts);
  return {
    name: row.name,
    state: row.state,
    stateReason: seen.stateReason,
    drainBy: row.drain_by ?? undefined,
    quarantinedUntil: row.quarantined_until ?? undefined,
    task: task && { kind: task.kind, given: task.given },
    online,
    lastSeenAt: online ? undefined : (row.last_seen_at ?? undefined),
    os: facts && `${facts.os} ${facts.osVersion}`,
    arch: facts?.arch,
    labels: facts === undefined ? [] : hostLabels(facts),
    agentVersion: seen.agentVersion,
    cpus: facts?.cpus,
    memoryBytes: facts?.memoryBytes,
    slots: facts?.capacity.workers ?? 0,
    // Whole gibibytes: less would change all the time.
    diskFreeGib: diskFreeBytes === undefined ? undefined : Math.floor(diskFreeBytes / GIB),
    images: facts?.images.map(({ name }) => name) ?? [],
    endsAt: facts?.endsAt,
    tasks: [...(facts?.tasks ?? [])],
    alarms: alarmsOf(seen),
    drift: driftOf(seen, { images, agentVersion: VERSION }),
  };
}

export function liveJob(row: JobRow): LiveJob {
  const { command } = payloadOf(row);
  return {
    id: row.id,
    state: row.state,
    outcome: row.outcome ?? undefined,
    title: (row.title ?? command.join(' ')).slice(0, TITLE_LENGTH),
    pool: row.ran_in ?? row.pool ?? undefined,
    labels: labelsOf(row),
    team: row.team ?? undefined,
    urgent: row.urgent === 1,
    priority: row.priority,
    hostName: row.host_name ?? undefined,
    workerId: row.worker_id ?? undefined,
    integration: row.integration ?? undefined,
    isBuild: row.build !== null,
    cancelRequested: row.cancel_requested === 1,
    reason: row.reason ?? undefined,
    submittedAt: row.submitted_at,
    assignedAt: row.assigned_at ?? undefined,
    startedAt: row.started_at ?? undefined,
    finishedAt: row.finished_at ?? undefined,
  };
}
