import type { HostFacts } from '../host.ts';
import type { Pool } from '../pool.ts';
import type { WorkerSpec } from '../worker.ts';
import { factsSuit, hostIsOpen, noUsage, use, type Fit, type Usage } from './fit.ts';
import type { HostStatus, WorkerStatus } from './fleet-view.ts';
import { SortedList } from './sorted-list.ts';

/** A host with what it carries. */
export interface PlacedHost {
  status: HostStatus;
  readonly usage: Usage;
  /** By id. */
  readonly workers: Map<string, WorkerStatus>;
  /** Of the hosts that are like it; absent while nothing may start there. */
  likes: HostClass | undefined;
  /** It was out of touch for so long that its workers were given up. */
  lost: boolean;
}

/**
 * Hosts that are open and can make the same workers. What a pool wants of a host is looked at once
 * for all of them; the one with the most room is found without looking at the others.
 */
export class HostClass {
  readonly key: string;
  /** Those with the most room first; of these the ones that failed less, then those used less. */
  readonly byRoom = new SortedList<PlacedHost>((a, b) => roomOf(b) - roomOf(a) || compare(a, b));
  /** By slots for macOS guests. */
  readonly byMacosRoom = new SortedList<PlacedHost>(
    (a, b) => macosRoomOf(b) - macosRoomOf(a) || compare(a, b),
  );
  /** Workers that its hosts take, all together. */
  capacity = 0;
  readonly #facts: HostFacts;
  readonly #suits = new WeakMap<Pool, Fit<{ spec: WorkerSpec }>>();

  constructor(key: string, facts: HostFacts) {
    this.key = key;
    this.#facts = facts;
  }

  /** Pools are told apart by identity: a changed one is another object. */
  suits(pool: Pool): Fit<{ spec: WorkerSpec }> {
    let fit = this.#suits.get(pool);
    if (fit === undefined) this.#suits.set(pool, (fit = factsSuit(pool, this.#facts)));
    return fit;
  }
}

/** All hosts, found by id and by the room they have. */
export class HostIndex {
  readonly #hosts = new Map<string, PlacedHost>();
  readonly #names = new Map<string, PlacedHost>();
  readonly #classes = new Map<string, HostClass>();
  /** Those in another state than active, or with something to do to themselves. */
  readonly inactive = new Set<PlacedHost>();
  /** Those that are there for a time. */
  readonly rented = new Set<PlacedHost>();
  /** Those without a session. */
  readonly offline = new Set<PlacedHost>();

  get(id: string): PlacedHost | undefined {
    return this.#hosts.get(id);
  }

  named(name: string): PlacedHost | undefined {
    return this.#names.get(name);
  }

  get all(): Iterable<PlacedHost> {
    return this.#hosts.values();
  }

  get classes(): Iterable<HostClass> {
    return this.#classes.values();
  }

  set(status: HostStatus): PlacedHost {
    let host = this.#hosts.get(status.id);
    if (host === undefined) {
      host = { status, usage: noUsage(), workers: new Map(), likes: undefined, lost: false };
      this.#hosts.set(status.id, host);
    } else {
      this.#leave(host);
      this.#names.delete(host.status.name);
    }
    host.status = status;
    this.#names.set(status.name, host);
    if (status.online) this.offline.delete(host);
    else this.offline.add(host);
    if (status.state === 'active' && status.task === undefined) this.inactive.delete(host);
    else this.inactive.add(host);
    if (status.facts?.endsAt === undefined) this.rented.delete(host);
    else this.rented.add(host);
    const open = hostIsOpen(status);
    if (open.fits) this.#enter(host, open.facts);
    return host;
  }

  delete(id: string): void {
    const host = this.#hosts.get(id);
    if (host === undefined) return;
    this.#leave(host);
    this.offline.delete(host);
    this.inactive.delete(host);
    this.rented.delete(host);
    this.#hosts.delete(id);
    this.#names.delete(host.status.name);
  }

  /** Counts a worker in or out, which changes the host's place. */
  use(host: PlacedHost, worker: Parameters<typeof use>[1], times: 1 | -1): void {
    const { likes } = host;
    likes?.byRoom.delete(host);
    likes?.byMacosRoom.delete(host);
    use(host.usage, worker, times);
    likes?.byRoom.add(host);
    if (hasMacosSlots(host)) likes?.byMacosRoom.add(host);
  }

  #enter(host: PlacedHost, facts: HostFacts): void {
    const key = likenessOf(facts);
    let likes = this.#classes.get(key);
    if (likes === undefined) this.#classes.set(key, (likes = new HostClass(key, facts)));
    host.likes = likes;
    likes.capacity += facts.capacity.workers;
    likes.byRoom.add(host);
    if (hasMacosSlots(host)) likes.byMacosRoom.add(host);
  }

  #leave(host: PlacedHost): void {
    const { likes, status } = host;
    if (likes === undefined) return;
    likes.capacity -= status.facts?.capacity.workers ?? 0;
    likes.byRoom.delete(host);
    likes.byMacosRoom.delete(host);
    host.likes = undefined;
    if (likes.byRoom.size === 0) this.#classes.delete(likes.key);
  }
}

export function roomOf({ status, usage }: PlacedHost): number {
  return (status.facts?.capacity.workers ?? 0) - usage.workers;
}

export function macosRoomOf(host: PlacedHost): number {
  const { facts } = host.status;
  const slots = (facts?.capacity.macosVms ?? 0) - (facts?.macosSlots?.foreign ?? 0);
  return Math.min(roomOf(host), slots - host.usage.macosVms);
}

function hasMacosSlots({ status }: PlacedHost): boolean {
  return (status.facts?.capacity.macosVms ?? 0) > 0;
}

function compare({ status: a }: PlacedHost, { status: b }: PlacedHost): number {
  const failures = (a.failures ?? 0) - (b.failures ?? 0);
  if (failures !== 0) return failures;
  const wear = (a.wear ?? 0) - (b.wear ?? 0);
  if (wear !== 0) return wear;
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/** Equal for hosts that suit the same pools and make the same workers for them. */
function likenessOf(facts: HostFacts): string {
  const available = (reports: HostFacts['vms']) =>
    reports.filter((report) => report.available).map(({ name, rank }) => [name, rank]);
  const images = facts.images.map(({ name, digest }) => [name, digest]);
  return JSON.stringify([
    ...[facts.os, facts.osVersion, facts.arch, facts.labels.toSorted()],
    ...[available(facts.sandboxes), available(facts.stores), available(facts.vms)],
    ...[images.toSorted(([a = ''], [b = '']) => (a < b ? -1 : 1)), facts.builds?.store],
  ]);
}
