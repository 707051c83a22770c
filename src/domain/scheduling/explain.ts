import type { FleetView, QueuedJob } from './fleet-view.ts';
import { hostHasRoom, hostSuits, hostTakesJob, noUsage, poolFits, usageByHost } from './fit.ts';
import { Fleet } from './fleet.ts';
import { Turns } from './turns.ts';

export interface Explanation {
  readonly summary: string;
  /** Jobs that go first. */
  readonly ahead: number;
  readonly pools: readonly PoolExplanation[];
}

export interface PoolExplanation {
  readonly pool: string;
  readonly fits: boolean;
  readonly reason: string;
  readonly hosts: readonly { host: string; chosen: boolean; reason: string }[];
}

/**
 * Says why a queued job has no worker yet, by the very predicates the scheduler uses: every pool
 * with the reason it does not take the job, and for those that do every host with the reason it
 * was not chosen, and how many jobs go first.
 */
export function explainJob(view: FleetView, job: QueuedJob): Explanation {
  const ahead = jobsAhead(view, job);
  const usage = usageByHost(view);
  const pools = view.pools.map((pool): PoolExplanation => {
    const fit = poolFits(pool, job);
    if (!fit.fits) return { pool: pool.name, fits: false, reason: fit.reason, hosts: [] };
    const mine = view.workers.filter((worker) => worker.pool === pool.name);
    const coming = mine.filter((worker) => worker.goal === 'ready');
    const full = mine.length >= pool.max;
    const hosts = view.hosts.map((host) => {
      const suits = hostSuits(view, pool, host);
      if (!suits.fits) return { host: host.name, chosen: false, reason: suits.reason };
      const takes = hostTakesJob(host, job);
      if (!takes.fits) return { host: host.name, chosen: false, reason: takes.reason };
      const here = coming.find((worker) => worker.hostId === host.id);
      if (here !== undefined) {
        return { host: host.name, chosen: true, reason: `a worker there is ${here.state}` };
      }
      const room = hostHasRoom(host, usage.get(host.id) ?? noUsage(), suits.spec);
      if (!room.fits) return { host: host.name, chosen: false, reason: room.reason };
      if (full) return { host: host.name, chosen: false, reason: 'the pool is at its maximum' };
      return { host: host.name, chosen: true, reason: 'it has room; a worker is being made' };
    });
    const reserved = whyReserved(view, pool.name, job.team ?? '');
    const reason = reserved ?? poolReason(pool.max, mine.length, hosts);
    return { pool: pool.name, fits: true, reason, hosts };
  });
  return { summary: whyQuota(view, job) ?? summarise(pools, ahead), ahead, pools };
}

/** How many jobs come before it, when all take their turns. */
function jobsAhead(view: FleetView, job: QueuedJob): number {
  const fleet = new Fleet(view);
  for (const each of view.queued) fleet.setQueued(each);
  for (const each of view.running) fleet.setRunning(each);
  let ahead = 0;
  let found = false;
  new Turns(fleet).each(({ id }) => {
    found ||= id === job.id;
    if (!found) ahead += 1;
    return !found;
  });
  return ahead;
}

function whyQuota({ teams, running }: FleetView, job: QueuedJob): string | undefined {
  const team = job.team ?? '';
  const quota = teams.get(team)?.quota;
  if (quota === undefined || job.urgent === true) return undefined;
  const has = running.filter((each) => each.team === team).length;
  if (has < quota) return undefined;
  return `Team ${team} runs ${has} jobs, and its quota is ${quota}: this one waits for one of them.`;
}

function whyReserved(view: FleetView, pool: string, team: string): string | undefined {
  const theirs = view.reservations.find((each) => each.pool === pool && each.team !== team);
  if (theirs === undefined) return undefined;
  const running = view.running.filter((each) => each.pool === pool);
  const used = running.filter((each) => each.team === theirs.team).length;
  const { max = 0 } = view.pools.find(({ name }) => name === pool) ?? {};
  if (max - running.length > theirs.workers - used) return undefined;
  return `${theirs.workers} of its workers are reserved for team ${theirs.team} (${theirs.name})`;
}

function poolReason(
  max: number,
  live: number,
  hosts: readonly { host: string; chosen: boolean; reason: string }[],
): string {
  const chosen = hosts.find((host) => host.chosen);
  if (chosen !== undefined) return `on host ${chosen.host} ${chosen.reason}`;
  if (live >= max) return `the pool is at its maximum of ${max} workers`;
  if (hosts.length === 0) return 'no host has joined; `pomona token join` begins one';
  const reasons = new Set(hosts.map((host) => host.reason));
  const [only] = reasons;
  if (reasons.size === 1) {
    return hosts.length === 1
      ? `host ${hosts[0]?.host} was not chosen: ${only}`
      : `none of ${hosts.length} hosts was chosen, all because: ${only}`;
  }
  return `none of ${hosts.length} hosts was chosen, each for its own reason`;
}

function summarise(pools: readonly PoolExplanation[], ahead: number): string {
  const fitting = pools.filter((pool) => pool.fits);
  if (fitting.length === 0) return 'No pool takes this job: see the reason of each.';
  const queue = ahead === 0 ? 'It is first in the queue' : `${ahead} jobs go first`;
  const waits = fitting.map((pool) => `pool ${pool.pool}: ${pool.reason}`).join('; ');
  return `${queue}; ${waits}.`;
}
