import type { HostFacts } from '../../domain/host.ts';
import type { Pool } from '../../domain/pool.ts';
import { poolNow } from '../../domain/rollout.ts';
import type { Backoff, FleetView } from '../../domain/scheduling/fleet-view.ts';
import type { Queryable } from '../../db/database.ts';
import { factsOf, listHosts } from '../../db/queries/hosts.ts';
import { buildOf, labelsOf, queuedJobs } from '../../db/queries/jobs.ts';
import { listPools } from '../../db/queries/pools.ts';
import { rolloutsWithTallies } from '../../db/queries/rollouts.ts';
import { liveWorkers } from '../../db/queries/workers.ts';
import type { HostLink } from '../sessions/agent-sessions.ts';

/** Jobs looked at in one pass: more than could start at once. */
const QUEUE_WINDOW = 1_000;

export interface FleetSources {
  readonly now: number;
  readonly hostLostAfterMs: number;
  readonly backoffs: ReadonlyMap<string, Backoff>;
  link(hostId: string): HostLink;
}

/** Reads the fleet for one decision. Facts and pools are parsed once for each text they had. */
export class FleetReader {
  readonly #facts = new Map<string, { text: string; facts: HostFacts | undefined }>();
  readonly #pools = new Map<string, { text: string; pool: Pool }>();

  async read(db: Queryable, sources: FleetSources): Promise<FleetView> {
    const pools = await listPools(db);
    const hosts = await listHosts(db);
    const workers = await liveWorkers(db);
    const queued = await queuedJobs(db, QUEUE_WINDOW);
    const rollouts = new Map(
      (await rolloutsWithTallies(db)).map(([, rollout]) => [rollout.pool, rollout]),
    );
    return {
      rollouts,
      now: sources.now,
      hostLostAfterMs: sources.hostLostAfterMs,
      backoffs: sources.backoffs,
      pools: pools.map((row) => poolNow(this.#pool(row.name, row.spec), rollouts.get(row.name))),
      hosts: hosts.map((row) => {
        const facts = this.#factsOf(row.id, row.facts);
        // It is rebooted once it is empty.
        const state = facts?.macosSlots?.leaked === true ? 'draining' : row.state;
        return { id: row.id, name: row.name, state, ...sources.link(row.id), facts };
      }),
      workers: workers.map((row) => ({
        id: row.id,
        pool: row.pool,
        hostId: row.host_id,
        state: row.state,
        goal: row.goal,
        jobId: row.job_id ?? undefined,
        specKey: row.spec_key,
        macosVm: row.spec_key.includes('"guest":"macos"'),
        readyAt: row.ready_at ?? undefined,
      })),
      queued: queued.map((row) => ({
        id: row.id,
        pool: row.pool ?? undefined,
        labels: row.labels === '[]' ? [] : labelsOf(row),
        build: buildOf(row),
      })),
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
