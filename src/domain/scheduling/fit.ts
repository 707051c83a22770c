import type { DriverReport, HostFacts } from '../host.ts';
import { EMPTY_IMAGE, type Pool } from '../pool.ts';
import type { WorkerSpec } from '../worker.ts';
import {
  backoffKey,
  type FleetView,
  type HostStatus,
  type QueuedJob,
  type WorkerStatus,
} from './fleet-view.ts';

/** The pool that takes jobs which ask for nothing. */
export const DEFAULT_POOL = 'default';

export type Fit<T = unknown> =
  ({ readonly fits: true } & T) | { readonly fits: false; readonly reason: string };

/** Does this pool take this job? */
export function poolFits(pool: Pool, job: Omit<QueuedJob, 'id'>): Fit {
  if (job.build !== undefined && pool.kind !== 'build') {
    return no('the job builds a spec, and the pool is not of the kind build');
  }
  if (job.build === undefined && pool.kind === 'build') {
    return no('the pool is for builds: `pomona build --remote`');
  }
  if (job.pool !== undefined && job.pool !== pool.name) {
    return no(`the job asks for pool ${job.pool}`);
  }
  const trust = pool.trust ?? 'trusted';
  if (job.trust !== undefined && job.trust !== trust) {
    return no(`the job is ${job.trust}, and the pool is for ${trust} ones`);
  }
  const asksForNothing = job.pool === undefined && job.labels.length === 0;
  if (asksForNothing && pool.kind !== 'build' && pool.name !== DEFAULT_POOL) {
    return no(`the job names no pool and no labels, so it goes to pool ${DEFAULT_POOL}`);
  }
  const missing = job.labels.filter((label) => !pool.labels.includes(label));
  if (missing.length > 0) return no(`the pool has no label ${missing.join(', ')}`);
  return { fits: true };
}

/** Can this job go to that host, beside what its pool wants of hosts? */
export function hostTakesJob(host: HostStatus, job: Pick<QueuedJob, 'build' | 'host'>): Fit {
  if (job.host !== undefined && job.host !== host.name) {
    return no(`the job asks for host ${job.host}`);
  }
  const { build } = job;
  const store = host.facts?.builds?.store;
  if (build?.store === undefined || build.store === store) return { fits: true };
  return no(`the job wants to be built in a store ${build.store}, and the host builds in ${store}`);
}

/** What a host carries now. */
export interface Usage {
  workers: number;
  macosVms: number;
  /** Of workers with limits. */
  cpus: number;
  memoryBytes: number;
  /** Workers of each pool. */
  readonly pools: Map<string, number>;
}

export function noUsage(): Usage {
  return { workers: 0, macosVms: 0, cpus: 0, memoryBytes: 0, pools: new Map() };
}

/** Counts a worker in (`times` 1) or out (-1). */
export function use(
  usage: Usage,
  worker: Pick<WorkerStatus, 'pool' | 'macosVm' | 'limits'>,
  times: 1 | -1,
): void {
  usage.workers += times;
  if (worker.macosVm) usage.macosVms += times;
  usage.cpus += times * (worker.limits?.cpus ?? 0);
  usage.memoryBytes += times * (worker.limits?.memoryBytes ?? 0);
  usage.pools.set(worker.pool, (usage.pools.get(worker.pool) ?? 0) + times);
}

export function usageByHost(view: Pick<FleetView, 'hosts' | 'workers'>): Map<string, Usage> {
  const usage = new Map(view.hosts.map((host) => [host.id, noUsage()]));
  for (const worker of view.workers) {
    const used = usage.get(worker.hostId);
    if (used !== undefined) use(used, worker, 1);
  }
  return usage;
}

/** Can this host, as it is and leaving its load aside, make workers of this pool? */
export function hostSuits(
  view: Pick<FleetView, 'now' | 'backoffs'>,
  pool: Pool,
  host: HostStatus,
): Fit<{ spec: WorkerSpec }> {
  const open = hostIsOpen(host);
  if (!open.fits) return open;
  const spec = factsSuit(pool, open.facts);
  return spec.fits ? notBackedOff(view, pool, host, spec) : spec;
}

/** May anything new start on this host? */
export function hostIsOpen(host: HostStatus): Fit<{ facts: HostFacts }> {
  const { facts } = host;
  if (facts === undefined) return no('its agent has never connected');
  if (!host.online) return no(`it is offline for ${Math.round(host.silentForMs / 1000)} s`);
  if (facts.macosSlots?.leaked === true) {
    return no('one of its macOS VM slots has leaked; it drains, to be rebooted');
  }
  if (host.state !== 'active') {
    const until = host.quarantinedUntil;
    const when = until === undefined ? '' : ` until ${new Date(until).toISOString()}`;
    return no(`it is ${host.state}${when}; \`pomona host resume ${host.name}\``);
  }
  return host.closed === undefined ? { fits: true, facts } : no(host.closed);
}

/** Can hosts with these facts make workers of this pool? */
export function factsSuit(pool: Pool, facts: HostFacts): Fit<{ spec: WorkerSpec }> {
  const labels = hostLabels(facts);
  const missing = pool.hostLabels.filter((label) => !labels.includes(label));
  if (missing.length > 0) return no(`it has no label ${missing.join(', ')}`);
  return specFor(pool, facts);
}

/** The same fit, unless workers of this pool failed there only just now. */
export function notBackedOff<T>(
  view: Pick<FleetView, 'now' | 'backoffs'>,
  pool: Pool,
  host: HostStatus,
  fit: Fit<T>,
): Fit<T> {
  const backoff = view.backoffs.get(backoffKey(pool.name, pool.image, host.id));
  if (backoff === undefined || backoff.until <= view.now) return fit;
  const seconds = Math.ceil((backoff.until - view.now) / 1000);
  return no(
    `the last ${backoff.failures} workers failed there (${backoff.reason}); next try in ${seconds} s`,
  );
}

/** Has the host room for one more worker of this spec? */
export function hostHasRoom(host: HostStatus, used: Usage, spec: WorkerSpec): Fit {
  const capacity = host.facts?.capacity ?? { workers: 0, macosVms: 0 };
  if (used.workers >= capacity.workers) {
    return no(`all its ${capacity.workers} workers are in use`);
  }
  const foreign = host.facts?.macosSlots?.foreign ?? 0;
  if (needsMacosSlot(spec) && used.macosVms + foreign >= capacity.macosVms) {
    const others = foreign === 0 ? '' : `, ${foreign} by machines that are not Pomona's`;
    return no(`all its ${capacity.macosVms} macOS VM slots are in use${others}`);
  }
  const { cpus = 0, memoryBytes = 0 } = spec.limits;
  const has = { cpus: host.facts?.cpus ?? 0, memoryBytes: host.facts?.memoryBytes ?? 0 };
  // A host that is empty takes a worker of any size: its limit is then the host's own.
  if (used.workers > 0 && cpus > 0 && used.cpus + cpus > has.cpus) {
    return no(`${used.cpus} of its ${has.cpus} cores are in use, and a worker takes ${cpus}`);
  }
  if (used.workers > 0 && memoryBytes > 0 && used.memoryBytes + memoryBytes > has.memoryBytes) {
    return no(
      `${gib(used.memoryBytes)} of its ${gib(has.memoryBytes)} GiB of memory are in use, and a worker takes ${gib(memoryBytes)}`,
    );
  }
  const exclusive = spec.volumes?.find(({ mode }) => mode === 'exclusive');
  if (exclusive !== undefined && (used.pools.get(spec.pool) ?? 0) > 0) {
    return no(`its volume ${exclusive.name} is in use by another worker of the pool`);
  }
  return { fits: true };
}

function gib(bytes: number): number {
  return Math.round((bytes / 2 ** 30) * 10) / 10;
}

export function needsMacosSlot(spec: WorkerSpec): boolean {
  return spec.kind === 'vm' && spec.guest === 'macos';
}

/** Images that a host needs for the pools whose workers may be made on it. */
export function wantedImages(pools: readonly Pool[], facts: HostFacts): string[] {
  const labels = hostLabels(facts);
  const names = pools
    .filter((pool) => pool.hostLabels.every((label) => labels.includes(label)))
    .filter((pool) => pool.kind !== 'vm' || chooseDriver('vm', facts.vms, pool.vm).fits)
    .map((pool) => pool.image);
  return [...new Set(names)].filter((name) => name !== EMPTY_IMAGE).toSorted();
}

/** Labels of a host: its own, and what its facts imply, such as `macos`, `macos-15`, `arm64`. */
export function hostLabels(facts: HostFacts): string[] {
  return [
    ...new Set([
      facts.os,
      facts.arch,
      `${facts.os}-${facts.osVersion.split('.')[0]}`,
      ...facts.labels,
    ]),
  ];
}

/** What a worker of this pool is made from on a host with these facts. */
export function specFor(pool: Pool, facts: HostFacts): Fit<{ spec: WorkerSpec }> {
  const image = facts.images.find((candidate) => candidate.name === pool.image);
  if (image === undefined) {
    if (pool.image === EMPTY_IMAGE) return no('its agent offers no empty image');
    const fetch = facts.imageFetches?.find(({ name }) => name === pool.image);
    const detail = fetch?.detail ?? `\`pomona image import ${pool.image} DIR\` there`;
    return no(`it has no image ${pool.image}; ${detail}`);
  }
  const common = {
    ...{ pool: pool.name, image, limits: pool.limits },
    ...(pool.jobsPerWorker === undefined || pool.jobsPerWorker === 1
      ? {}
      : { jobs: pool.jobsPerWorker }),
    ...(pool.hardAgeMs === undefined ? {} : { hardAgeMs: pool.hardAgeMs }),
    ...(pool.trust === 'untrusted' ? { trust: pool.trust } : {}),
    ...(pool.volumes === undefined || pool.volumes.length === 0 ? {} : { volumes: pool.volumes }),
  };
  if (pool.kind === 'vm') {
    const vm = chooseDriver('vm', facts.vms, pool.vm);
    if (!vm.fits) return vm;
    const user = pool.guestUser === undefined ? {} : { user: pool.guestUser };
    return { fits: true, spec: { kind: 'vm', ...common, vm: vm.name, guest: pool.guest, ...user } };
  }
  if (pool.kind === 'build') {
    if (facts.builds === undefined) return no('its agent builds nothing: no store for it works');
    const { store } = facts.builds;
    if (pool.store !== undefined && pool.store !== store) {
      return no(`it builds in a store ${store}, and the pool wants ${pool.store}`);
    }
    return { fits: true, spec: { kind: 'build', ...common, store } };
  }
  const sandbox = chooseDriver('sandbox', facts.sandboxes, pool.sandbox);
  if (!sandbox.fits) return sandbox;
  const store = chooseDriver('store', facts.stores, pool.store);
  if (!store.fits) return store;
  return {
    fits: true,
    spec: { kind: 'sandbox', ...common, sandbox: sandbox.name, store: store.name },
  };
}

/** The driver asked for, or the best one that is available. */
function chooseDriver(
  family: string,
  reports: readonly DriverReport[],
  wanted: string | undefined,
): Fit<{ name: string }> {
  if (wanted !== undefined) {
    const report = reports.find((candidate) => candidate.name === wanted);
    if (report === undefined) return no(`its agent knows no ${family} ${wanted}`);
    if (!report.available)
      return no(`${family} ${wanted} is not available there: ${report.detail}`);
    return { fits: true, name: wanted };
  }
  const best = reports
    .filter((report) => report.available)
    .toSorted((a, b) => b.rank - a.rank || a.name.localeCompare(b.name))[0];
  if (best === undefined) return no(`it has no ${family} that works`);
  return { fits: true, name: best.name };
}

/** Equal for workers made from the same thing. */
export function specKey(spec: WorkerSpec): string {
  return JSON.stringify(sorted(spec));
}

function sorted(value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}

function no(reason: string): { fits: false; reason: string } {
  return { fits: false, reason };
}
