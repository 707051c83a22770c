import { DISK_LOW_BYTES, type HostFacts } from '../../domain/host.ts';
import { TASK_WORDS } from '../../domain/host-task.ts';
import type { Pool } from '../../domain/pool.ts';
import { poolNow, type Rollout } from '../../domain/rollout.ts';
import { poolAt, rulesNow, whyClosed, type FleetRules } from '../../domain/scheduling/rules.ts';
import { hostLabels } from '../../domain/scheduling/fit.ts';
import type { Circumstances } from '../../domain/scheduling/decide.ts';
import type {
  FleetView,
  HostStatus,
  QueuedJob,
  RunningJob,
  TaskStatus,
  WorkerStatus,
} from '../../domain/scheduling/fleet-view.ts';
import type { Queryable } from '../../db/database.ts';
import {
  factsOf,
  listHosts,
  taskOf,
  type HostRow,
  type HostTaskRecord,
} from '../../db/queries/hosts.ts';
import { buildOf, labelsOf, openJobs, type OpenJobRow } from '../../db/queries/jobs.ts';
import { listPools } from '../../db/queries/pools.ts';
import { rolloutsWithTallies } from '../../db/queries/rollouts.ts';
import { liveWorkers, specOf, type WorkerRow } from '../../db/queries/workers.ts';
import type { HostLinks } from '../host-links.ts';

/** What a reading knows of beside the database. */
export interface FleetSources extends Circumstances {
  readonly rules: FleetRules;
  /** Workers that should be ready, by pool. */
  readonly forecasts: ReadonlyMap<string, number>;
  readonly links: HostLinks;
}

/** Makes of rows what the scheduler looks at. Facts and pools are parsed once for each text they had. */
export class FleetReader {
  readonly #facts = new Map<string, { text: string; facts: HostFacts | undefined }>();
  readonly #pools = new Map<string, { text: string; pool: Pool }>();

  /** The whole fleet. */
  async read(db: Queryable, sources: FleetSources): Promise<FleetView> {
    const { now, hostLostAfterMs, backoffs, rules } = sources;
    const { pools, rollouts } = await this.pools(db, sources);
    const hosts = await listHosts(db);
    const workers = await liveWorkers(db);
    const jobs = await openJobs(db);
    return {
      ...{ now, hostLostAfterMs, backoffs, ...rulesNow(rules, now), pools, rollouts },
      hosts: hosts.map((row) => this.host(row, sources)),
      workers: workers.map(workerStatus),
      queued: jobs.filter(({ state }) => state === 'queued').map(queuedJob),
      running: jobs.filter(({ state }) => state !== 'queued').map(runningJob),
    };
  }

  /** As they are to be now. */
  async pools(
    db: Queryable,
    { now, forecasts }: Pick<FleetSources, 'now' | 'forecasts'>,
  ): Promise<{ pools: readonly Pool[]; rollouts: ReadonlyMap<string, Rollout> }> {
    const rows = await listPools(db);
    const all = (await rolloutsWithTallies(db)).map(([, rollout]) => rollout);
    const rollouts = new Map(all.map((rollout) => [rollout.pool, rollout]));
    const pools = rows.map((row) =>
      poolAt(
        poolNow(this.#pool(row.name, row.spec), rollouts.get(row.name)),
        now,
        forecasts.get(row.name),
      ),
    );
    return { pools, rollouts };
  }

  host(row: HostRow, { links, rules, now }: FleetSources): HostStatus {
    const facts = this.#factsOf(row.id, row.facts);
    // It is rebooted once it is empty.
    const state = facts?.macosSlots?.leaked === true ? 'draining' : row.state;
    const task = taskOf(row);
    const closed =
      whyBusy(task) ??
      whyClosed(rules, facts === undefined ? [] : hostLabels(facts), now) ??
      whyFull(row);
    return {
      ...{ id: row.id, name: row.name, state, ...links.of(row), facts, closed },
      ...{ full: whyFull(row), session: row.session_no, lostTold: row.lost_at !== null },
      wear: Number(row.wear),
      failures: row.strikes,
      ...(row.drain_by === null ? {} : { drainBy: row.drain_by }),
      ...(row.quarantined_until === null ? {} : { quarantinedUntil: row.quarantined_until }),
      ...(task === undefined ? {} : { task: taskStatus(task) }),
    };
  }

  #pool(name: string, text: string): Pool {
    let known = this.#pools.get(name);
    if (known?.text !== text) {
      known = { text, pool: JSON.parse(text) as Pool };
      this.#pools.set(name, known);
    }
    return known.pool;
  }

  #factsOf(id: string, text: string | null): HostFacts | undefined {
    if (text === null) return undefined;
    let known = this.#facts.get(id);
    if (known?.text !== text) {
      known = { text, facts: factsOf({ facts: text }) };
      this.#facts.set(id, known);
    }
    return known.facts;
  }
}

function taskStatus({ id, kind, given, drainBy, endBy }: HostTaskRecord): TaskStatus {
  return {
    ...{ id, kind, given },
    ...(drainBy === undefined ? {} : { drainBy }),
    ...(endBy === undefined ? {} : { endBy }),
  };
}

function whyBusy(task: HostTaskRecord | undefined): string | undefined {
  if (task === undefined) return undefined;
  return `it is to ${TASK_WORDS[task.kind]} (${task.reason})`;
}

function whyFull({ disk_free_bytes: free }: HostRow): string | undefined {
  if (free === null || free >= DISK_LOW_BYTES) return undefined;
  return `its disk is nearly full: ${Math.round(free / 2 ** 20)} MiB are free`;
}

export function workerStatus(row: WorkerRow): WorkerStatus {
  const { limits } = specOf(row);
  const limited = limits.cpus !== undefined || limits.memoryBytes !== undefined;
  return {
    ...{ id: row.id, pool: row.pool, hostId: row.host_id, state: row.state, goal: row.goal },
    ...{ jobId: row.job_id ?? undefined, specKey: row.spec_key },
    macosVm: row.spec_key.includes('"guest":"macos"'),
    ...{ readyAt: row.ready_at ?? undefined, createdAt: row.created_at },
    ...(limited ? { limits } : {}),
  };
}

export function queuedJob(row: OpenJobRow): QueuedJob {
  return {
    ...{ id: row.id, pool: row.pool ?? undefined, priority: row.priority, team: row.team ?? '' },
    labels: row.labels === '[]' ? [] : labelsOf(row),
    ...{ build: buildOf(row), trust: row.trust ?? undefined, host: row.wanted_host ?? undefined },
    ...(row.urgent === 1 ? { urgent: true } : {}),
  };
}

export function runningJob(row: OpenJobRow): RunningJob {
  return { id: row.id, team: row.team ?? '', pool: row.worker_pool ?? '' };
}
