import { percentilesOf, type Percentiles } from './percentiles.ts';

/** When one job waited and ran. Times are wall-clock ms. */
export interface PastJob {
  readonly pool: string;
  readonly host: string | undefined;
  /** The worker that it was given to was ready when it was submitted; undefined: it had none yet. */
  readonly warm: boolean | undefined;
  readonly submittedAt: number;
  readonly assignedAt: number | undefined;
  readonly startedAt: number | undefined;
  readonly finishedAt: number | undefined;
}

/** A time cut into equal parts. */
export interface Span {
  readonly from: number;
  readonly to: number;
  readonly bucketMs: number;
}

export interface WaitBucket extends Percentiles {
  readonly at: number;
  /** Jobs that were given to a worker in it. */
  readonly jobs: number;
}

/** How the workers of something were used. */
export interface UseOverTime {
  readonly name: string;
  /** Workers that had a job, on average in each bucket. */
  readonly busy: readonly number[];
}

/** Jobs of one pool, in a span of time. */
export interface PoolPast {
  readonly pool: string;
  readonly jobs: number;
  readonly warm: number;
  readonly cold: number;
  /** ms. */
  readonly wait: Percentiles;
  /** Workers that had a job, on average in each bucket. */
  readonly busy: readonly number[];
}

export interface Past {
  readonly wait: readonly WaitBucket[];
  readonly pools: readonly PoolPast[];
  readonly hosts: readonly UseOverTime[];
}

export function bucketsOf({ from, to, bucketMs }: Span): number[] {
  const count = Math.ceil((to - from) / bucketMs);
  return Array.from({ length: count }, (_, index) => from + index * bucketMs);
}

/** What jobs tell of how long they waited, and of how hosts and pools were used. */
export function pastOf(jobs: readonly PastJob[], span: Span): Past {
  const buckets = bucketsOf(span);
  const waits = buckets.map<number[]>(() => []);
  const hosts = new Map<string, number[]>();
  const pools = new Map<string, PoolTally>();
  for (const job of jobs) {
    const { assignedAt } = job;
    // One that waits has not found its pool yet.
    if (assignedAt === undefined) continue;
    const pool = poolTally(pools, job.pool, buckets.length);
    if (assignedAt >= span.from && assignedAt < span.to) {
      const wait = Math.max(0, assignedAt - job.submittedAt);
      waits[Math.floor((assignedAt - span.from) / span.bucketMs)]?.push(wait);
      pool.waits.push(wait);
      if (job.warm === true) pool.warm += 1;
      if (job.warm === false) pool.cold += 1;
    }
    if (job.host === undefined) continue;
    let host = hosts.get(job.host);
    if (host === undefined) hosts.set(job.host, (host = zeroes(buckets.length)));
    addUse([host, pool.busy], span, assignedAt, job.finishedAt ?? span.to);
  }
  return {
    wait: buckets.map((at, index) => {
      const these = waits[index] ?? [];
      return { at, jobs: these.length, ...percentilesOf(these) };
    }),
    pools: [...pools]
      .map(([pool, { waits: these, warm, cold, busy }]) => ({
        ...{ pool, jobs: these.length, warm, cold, wait: percentilesOf(these), busy },
      }))
      .toSorted((a, b) => a.pool.localeCompare(b.pool)),
    hosts: [...hosts]
      .map(([name, busy]) => ({ name, busy }))
      .toSorted((a, b) => a.name.localeCompare(b.name)),
  };
}

interface PoolTally {
  readonly waits: number[];
  readonly busy: number[];
  warm: number;
  cold: number;
}

function poolTally(pools: Map<string, PoolTally>, name: string, buckets: number): PoolTally {
  let pool = pools.get(name);
  if (pool === undefined) {
    pools.set(name, (pool = { waits: [], busy: zeroes(buckets), warm: 0, cold: 0 }));
  }
  return pool;
}

/** Adds a worker that had a job from one time to another, to each bucket as much as it covers. */
function addUse(rows: readonly number[][], span: Span, begun: number, ended: number): void {
  const from = Math.max(begun, span.from);
  const to = Math.min(ended, span.to);
  const last = Math.ceil((to - span.from) / span.bucketMs);
  for (let at = Math.floor((from - span.from) / span.bucketMs); at < last; at += 1) {
    const start = span.from + at * span.bucketMs;
    const end = Math.min(start + span.bucketMs, span.to);
    const covered = Math.max(0, Math.min(to, end) - Math.max(from, start));
    for (const row of rows) row[at] = (row[at] ?? 0) + covered / (end - start);
  }
}

function zeroes(length: number): number[] {
  return Array.from({ length }, () => 0);
}
