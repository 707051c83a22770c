import { factsOf, listHosts, type HostRow } from '../../db/queries/hosts.ts';
import { jobsSince, poolSamples, type PastJobRow } from '../../db/queries/history.ts';
import { findPool } from '../../db/queries/pools.ts';
import { bucketsOf, pastOf, type PastJob, type Span } from '../../domain/history.ts';
import { hostLabels } from '../../domain/scheduling/fit.ts';
import type { Capacity, PoolHistory } from '../../protocol/api/history-resources.ts';
import { ProblemError } from '../../protocol/problem.ts';
import type { Context } from '../context.ts';
import { SAMPLE_MS } from './samples.ts';

const HOUR_MS = 3_600_000;
/** So many points look fine, and are few enough to send. */
const POINTS = 160;
/** Each host's course is told for so many hosts at most. */
const MOST_COURSES = 200;
/** Jobs looked at, at most. */
const MOST_JOBS = 100_000;

/** What hosts cost: the first price that fits a host counts. */
export interface HostPrices {
  readonly currency: string;
  readonly hosts: readonly {
    readonly labels: readonly string[];
    readonly perHour: number;
  }[];
}

/** How a pool was in the last hours. Throws ProblemError `not_found`. */
export async function poolHistory(
  { db, clock }: Context,
  name: string,
  hours: number,
): Promise<PoolHistory> {
  if ((await findPool(db, name)) === undefined) {
    throw new ProblemError(
      'not_found',
      `there is no pool ${name}; \`pomona pool list\` shows them`,
    );
  }
  const span = spanOf(clock.now(), hours);
  const rows = await poolSamples(db, name, span.from);
  const buckets = bucketsOf(span);
  const at = (time: number) => Math.floor((time - span.from) / span.bucketMs);
  const demand = buckets.map((each) => ({ at: each, warm: 0, cold: 0 }));
  for (const job of await jobsSince(db, span.from, MOST_JOBS)) {
    if (job.pool !== name || job.warm === null) continue;
    const bucket = demand[at(Number(job.submitted_at))];
    if (bucket === undefined) continue;
    if (job.warm === 1) bucket.warm += 1;
    else bucket.cold += 1;
  }
  // The last of each bucket: what was, not a mean that never was.
  const samples = new Map(rows.map((row) => [at(Number(row.at)), row]));
  return {
    ...span,
    samples: [...samples.values()].map((row) => ({
      ...{ at: Number(row.at), ready: row.ready, preparing: row.preparing, busy: row.busy },
      ...{ queued: row.queued, wantReady: row.want_ready, max: row.max },
    })),
    demand,
  };
}

/** How long jobs waited, how hosts and pools were used and what it cost, in the last hours. */
export async function capacity(
  { db, clock }: Context,
  hours: number,
  prices: HostPrices | undefined,
): Promise<Capacity> {
  const now = clock.now();
  const span = spanOf(now, hours);
  const rows = await jobsSince(db, span.from, MOST_JOBS);
  const jobs = rows.map(pastJob);
  const past = pastOf(jobs, span);
  const hosts = await listHosts(db);
  const busy = new Map(past.hosts.map((each) => [each.name, each.busy]));
  const few = hosts.length <= MOST_COURSES;
  const used = hosts.map((row) => {
    const slots = factsOf(row)?.capacity.workers ?? 0;
    const shares = (busy.get(row.name) ?? []).map((each) => (slots === 0 ? 0 : each / slots));
    const use = shares.reduce((sum, each) => sum + each, 0) / Math.max(1, shares.length);
    return { name: row.name, slots, use, ...(few && shares.length > 0 ? { course: shares } : {}) };
  });
  const done = jobs.filter(({ finishedAt }) => finishedAt !== undefined).length;
  return {
    ...span,
    slots: used.reduce((sum, { slots }) => sum + slots, 0),
    wait: [...past.wait],
    pools: past.pools.map((pool) => ({ ...pool, busy: [...pool.busy] })),
    hosts: used,
    ...(prices === undefined ? {} : { cost: costOf(hosts, prices, span, done) }),
    cut: rows.length === MOST_JOBS,
  };
}

/** Jobs that ended in the last hours, for the simulator: when they came and how long they ran. */
export async function jobsToPlay(
  { db, clock }: Context,
  hours: number,
): Promise<{ at: number; lengthMs: number; team: string }[]> {
  const rows = await jobsSince(db, clock.now() - hours * HOUR_MS, MOST_JOBS);
  return rows.map(pastJob).flatMap(({ submittedAt, startedAt, finishedAt }) => {
    if (startedAt === undefined || finishedAt === undefined) return [];
    return [{ at: submittedAt, lengthMs: Math.max(0, finishedAt - startedAt), team: '' }];
  });
}

function spanOf(now: number, hours: number): Span {
  const wanted = (hours * HOUR_MS) / POINTS;
  const bucketMs = Math.max(SAMPLE_MS, Math.ceil(wanted / SAMPLE_MS) * SAMPLE_MS);
  const from = Math.floor((now - hours * HOUR_MS) / bucketMs) * bucketMs;
  return { from, to: now, bucketMs };
}

function pastJob(row: PastJobRow): PastJob {
  const time = (value: number | null) => (value === null ? undefined : Number(value));
  return {
    ...{ pool: row.pool ?? '?', host: row.host_name ?? undefined },
    warm: row.warm === null ? undefined : row.warm === 1,
    ...{ submittedAt: Number(row.submitted_at), assignedAt: time(row.assigned_at) },
    ...{ startedAt: time(row.started_at), finishedAt: time(row.finished_at) },
  };
}

function costOf(
  hosts: readonly HostRow[],
  { currency, hosts: prices }: HostPrices,
  span: Span,
  jobs: number,
): NonNullable<Capacity['cost']> {
  const each = hosts.flatMap((row) => {
    const facts = factsOf(row);
    const labels = facts === undefined ? [] : hostLabels(facts);
    const price = prices.find((one) => one.labels.every((label) => labels.includes(label)));
    if (price === undefined) return [];
    const from = Math.max(span.from, Number(row.created_at));
    const to = Math.min(span.to, facts?.endsAt ?? span.to);
    const hours = Math.max(0, to - from) / HOUR_MS;
    const ends = facts?.endsAt === undefined ? {} : { endsAt: facts.endsAt };
    return [
      ...[{ name: row.name, hours, perHour: price.perHour, cost: hours * price.perHour, ...ends }],
    ];
  });
  const total = each.reduce((sum, { cost }) => sum + cost, 0);
  return { currency, total, ...(jobs === 0 ? {} : { perJob: total / jobs }), hosts: each };
}
