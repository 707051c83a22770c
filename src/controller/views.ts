import type { ArtifactRow } from '../db/queries/artifacts.ts';
import type { EventRow } from '../db/queries/events.ts';
import { factsOf, taskOf, type HostRow } from '../db/queries/hosts.ts';
import { labelsOf, payloadOf, type JobRow } from '../db/queries/jobs.ts';
import { specOf, type WorkerRow } from '../db/queries/workers.ts';
import type { HostFacts } from '../domain/host.ts';
import type { WorkerSpec } from '../domain/worker.ts';
import { hostLabels } from '../domain/scheduling/fit.ts';
import type { EventView, JobView, WorkerView } from '../protocol/api/resources.ts';
import type { HostView } from '../protocol/api/host-resources.ts';
import { consolesOf } from './consoles/ways-in.ts';
import type { HostLink } from './host-links.ts';
import { workerName } from './sessions/desired.ts';

/** Rows as the API shows them. */

export function jobView(row: JobRow, artifacts: readonly ArtifactRow[]): JobView {
  const payload = payloadOf(row);
  return {
    id: row.id,
    state: row.state,
    outcome: row.outcome ?? undefined,
    exitCode: row.exit_code ?? undefined,
    reason: row.reason ?? undefined,
    title: row.title ?? undefined,
    command: [...payload.command],
    pool: row.pool ?? undefined,
    labels: labelsOf(row),
    secrets: [...payload.secrets],
    artifactGlobs: [...payload.artifacts],
    priority: row.priority,
    team: row.team ?? undefined,
    urgent: row.urgent === 1,
    wantedHost: row.wanted_host ?? undefined,
    retries: row.retries,
    timeoutMs: payload.timeoutMs,
    isBuild: row.build !== null,
    integration: row.integration ?? undefined,
    ranIn: row.ran_in ?? undefined,
    warm: row.warm === null ? undefined : row.warm === 1,
    epoch: row.epoch,
    cancelRequested: row.cancel_requested === 1,
    workerId: row.worker_id ?? undefined,
    hostName: row.host_name ?? undefined,
    submittedAt: row.submitted_at,
    assignedAt: row.assigned_at ?? undefined,
    startedAt: row.started_at ?? undefined,
    finishedAt: row.finished_at ?? undefined,
    logBytes: row.log_bytes,
    artifacts: artifacts.map(({ path, size, sha256 }) => ({ path, size, sha256 })),
  };
}

/** What of its host a worker's view needs. */
export interface WorkersHost {
  readonly name: string;
  readonly facts: HostFacts | undefined;
}

export function workerView(
  row: WorkerRow,
  fleet: string,
  host: WorkersHost | undefined,
): WorkerView {
  const spec = specOf(row);
  return {
    id: row.id,
    name: workerName(fleet, row.id),
    pool: row.pool,
    hostName: host?.name ?? '?',
    state: row.state,
    goal: row.goal,
    epoch: row.epoch,
    driver: driverOf(spec),
    image: spec.image.name,
    jobId: row.job_id ?? undefined,
    reason: row.reason ?? undefined,
    keptUntil: row.kept_until ?? undefined,
    consoles: consolesOf(row, spec, host?.facts),
    createdAt: row.created_at,
    readyAt: row.ready_at ?? undefined,
    updatedAt: row.updated_at,
  };
}

export function hostView(row: HostRow, link: HostLink, workers: number): HostView {
  const facts = factsOf(row);
  const task = taskOf(row);
  return {
    id: row.id,
    name: row.name,
    state: row.state,
    stateReason: row.state_reason ?? undefined,
    drainBy: row.drain_by ?? undefined,
    quarantinedUntil: row.quarantined_until ?? undefined,
    task: task && { kind: task.kind, given: task.given, reason: task.reason },
    online: link.online,
    lastSeenAt: row.last_seen_at ?? undefined,
    workers,
    labels: facts === undefined ? [] : hostLabels(facts),
    agentVersion: row.agent_version ?? undefined,
    diskFreeBytes: row.disk_free_bytes ?? undefined,
    facts,
  };
}

export function eventView(row: EventRow): EventView {
  return {
    seq: row.seq,
    at: row.at,
    kind: row.kind,
    id: row.subject,
    state: row.state,
    reason: row.reason ?? undefined,
  };
}

function driverOf(spec: WorkerSpec): string {
  switch (spec.kind) {
    case 'vm':
      return spec.vm;
    case 'sandbox':
      return `${spec.sandbox}+${spec.store}`;
    case 'build':
      return `build+${spec.store}`;
  }
}
