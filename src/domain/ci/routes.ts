import type { Pool } from '../pool.ts';
import type { CiJob, RunnerClass, Trust } from './ci-job.ts';
import { trustOf, type TrustRules } from './trust.ts';

/** One way from labels to a pool. The first route that takes a job has it. */
export interface Route {
  /** A job fits when each of its labels is here; runners register with all of them. */
  readonly labels: readonly string[];
  /** Patterns of sources with `*`; none: any source. */
  readonly sources: readonly string[];
  readonly pool: string;
  readonly priority: number;
  readonly team?: string | undefined;
  readonly max: number;
  readonly standby: number;
}

export interface RouteRules {
  readonly integration: string;
  /** None: pools are found by their labels. */
  readonly routes: readonly Route[];
  readonly trust: TrustRules;
  /** Labels that every job of this CI system may have, such as `self-hosted`. */
  readonly impliedLabels: readonly string[];
  /** Runners at most for a pool that no route names. */
  readonly max: number;
}

export type Routed =
  | { readonly taken: true; readonly runnerClass: RunnerClass; readonly reason: string }
  | { readonly taken: false; readonly reason: string };

/** One line of the explanation: a route or a pool, and why it is the one or is not. */
export interface RouteLine {
  readonly what: string;
  readonly takes: boolean;
  readonly reason: string;
}

type Asked = Pick<CiJob, 'labels' | 'source' | 'event' | 'group'>;

/** Finds the runners that may take a job. Case does not matter in labels, as in GitHub. */
export function routeJob(job: Asked, rules: RouteRules, pools: readonly Pool[]): Routed {
  return explainRoute(job, rules, pools).result;
}

/** As `routeJob`, with a line for each route and pool that was looked at. */
export function explainRoute(
  job: Asked,
  rules: RouteRules,
  pools: readonly Pool[],
): { readonly result: Routed; readonly lines: readonly RouteLine[] } {
  const { trust, reason: whyTrust } = trustOf(job.event, rules.trust);
  if (trust === 'refused') {
    return { result: { taken: false, reason: `jobs like it are refused: ${whyTrust}` }, lines: [] };
  }
  const routes = rules.routes.length > 0 ? rules.routes : routesOfPools(rules, pools);
  const lines: RouteLine[] = [];
  let result: Routed | undefined;
  for (const [index, route] of routes.entries()) {
    const what = nameOf(rules, route, index);
    const missed = whyNot(job, route, rules, pools, trust);
    if (missed !== undefined) {
      lines.push({ what, takes: false, reason: missed });
    } else if (result === undefined) {
      lines.push({ what, takes: true, reason: `${trust}: ${whyTrust}` });
      result = { taken: true, runnerClass: classOf(job, route, rules, trust), reason: whyTrust };
    } else {
      lines.push({ what, takes: false, reason: 'an earlier one takes the job' });
    }
  }
  return { result: result ?? { taken: false, reason: nobody(job, lines, trust) }, lines };
}

function routesOfPools(rules: RouteRules, pools: readonly Pool[]): Route[] {
  return pools
    .filter((pool) => pool.kind !== 'build')
    .map((pool) => ({
      ...{ labels: pool.labels, sources: [], pool: pool.name, priority: 0 },
      ...{ max: Math.min(pool.max, rules.max), standby: 0 },
    }));
}

function nameOf(rules: RouteRules, route: Route, index: number): string {
  return rules.routes.length > 0 ? `route ${index + 1} (pool ${route.pool})` : `pool ${route.pool}`;
}

function whyNot(
  job: Asked,
  route: Route,
  rules: RouteRules,
  pools: readonly Pool[],
  trust: Trust,
): string | undefined {
  const pool = pools.find(({ name }) => name === route.pool);
  if (pool === undefined) return `there is no pool ${route.pool}`;
  if (pool.kind === 'build') return `pool ${pool.name} is for builds`;
  if (route.sources.length > 0 && !route.sources.some((glob) => matches(glob, job.source))) {
    return `${job.source} is not among its sources: ${route.sources.join(', ')}`;
  }
  const has = new Set([...rules.impliedLabels, ...route.labels].map(lower));
  const missing = job.labels.filter((label) => !has.has(lower(label)));
  if (missing.length > 0) return `it has no label ${missing.join(', ')}`;
  const poolTrust = pool.trust ?? 'trusted';
  if (poolTrust !== trust) {
    return `the job is ${trust}, and pool ${pool.name} is for ${poolTrust} ones`;
  }
  return undefined;
}

function classOf(job: Asked, route: Route, rules: RouteRules, trust: Trust): RunnerClass {
  const labels = [...new Set([...rules.impliedLabels, ...route.labels])];
  const parts = [route.pool, trust, route.team ?? '', String(route.priority), job.group ?? ''];
  return {
    id: [...parts, ...labels.toSorted()].join('|'),
    ...{ pool: route.pool, labels, trust, priority: route.priority },
    ...{ team: route.team ?? rules.integration, standby: route.standby },
    limit: { id: `${route.pool}|${route.team ?? ''}`, max: route.max },
    ...(job.group === undefined ? {} : { group: job.group }),
  };
}

/** The class of runners that a route keeps without a job; undefined when it keeps none. */
export function standbyClass(
  route: Route,
  rules: RouteRules,
  pools: readonly Pool[],
): RunnerClass | undefined {
  const pool = pools.find(({ name }) => name === route.pool);
  if (route.standby === 0 || pool === undefined) return undefined;
  const nothing = { labels: [], source: '', event: { name: 'none', fork: false } };
  return classOf(nothing, route, rules, pool.trust ?? 'trusted');
}

function nobody(job: Asked, lines: readonly RouteLine[], trust: Trust): string {
  const asked = job.labels.length === 0 ? 'no labels' : `the labels ${job.labels.join(', ')}`;
  const [only] = lines;
  if (only === undefined) return 'there are neither routes nor pools';
  if (lines.length === 1) return `${only.what} does not take it: ${only.reason}`;
  return `no pool takes an ${trust} job with ${asked}`.replace('an trusted', 'a trusted');
}

/** `*` stands for anything, also for nothing. */
export function matches(pattern: string, text: string): boolean {
  const parts = pattern.toLowerCase().split('*');
  const whole = text.toLowerCase();
  const first = parts[0] ?? '';
  const last = parts.at(-1) ?? '';
  if (parts.length === 1) return whole === first;
  if (!whole.startsWith(first) || whole.length < first.length + last.length) return false;
  if (!whole.endsWith(last)) return false;
  let at = first.length;
  for (const part of parts.slice(1, -1)) {
    const found = whole.indexOf(part, at);
    if (found < 0 || found + part.length > whole.length - last.length) return false;
    at = found + part.length;
  }
  return true;
}

function lower(text: string): string {
  return text.toLowerCase();
}
