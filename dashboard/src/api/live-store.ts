import type { Live, LiveHost, LiveJob } from '../../../src/protocol/api/live-resources.ts';
import type { WorkerView } from '../../../src/protocol/api/resources.ts';

export type { LiveHost, LiveJob, WorkerView };

export type LiveStatus = 'connecting' | 'live' | 'lost';

/** Rows of one kind: each stays the same object while nothing of it changes. */
class Rows<Row> {
  #rows = new Map<string, Row>();
  #list: readonly Row[] | undefined;

  get(id: string): Row | undefined {
    return this.#rows.get(id);
  }

  /** All, in the order in which they came; the same array while nothing changes. */
  list(): readonly Row[] {
    return (this.#list ??= [...this.#rows.values()]);
  }

  take(id: string, row: Row): void {
    const known = this.#rows.get(id);
    if (known !== undefined && JSON.stringify(known) === JSON.stringify(row)) return;
    this.#rows.set(id, row);
    this.#list = undefined;
  }

  remove(id: string): void {
    if (this.#rows.delete(id)) this.#list = undefined;
  }

  keepOnly(ids: ReadonlySet<string>): void {
    for (const id of this.#rows.keys()) if (!ids.has(id)) this.remove(id);
  }
}

const NONE: readonly WorkerView[] = [];

/** The fleet as the controller streams it. Readers are told once for each message, not for each row. */
export class LiveStore {
  readonly hosts = new Rows<LiveHost>();
  readonly workers = new Rows<WorkerView>();
  readonly jobs = new Rows<LiveJob>();
  status: LiveStatus = 'connecting';
  readonly #listeners = new Set<() => void>();
  readonly #touched = new Set<(kinds: readonly string[]) => void>();
  #byHost:
    { readonly of: readonly WorkerView[]; readonly map: Map<string, WorkerView[]> } | undefined;

  /** Workers of a host: the same array while none of them changes. */
  workersOf(host: string): readonly WorkerView[] {
    const all = this.workers.list();
    if (this.#byHost?.of !== all) this.#byHost = { of: all, map: grouped(all, this.#byHost?.map) };
    return this.#byHost.map.get(host) ?? NONE;
  }

  take(live: Live): void {
    for (const row of live.hosts) this.hosts.take(row.name, row);
    for (const row of live.workers) this.workers.take(row.id, row);
    for (const row of live.jobs) this.jobs.take(row.id, row);
    if (live.all) {
      this.hosts.keepOnly(new Set(live.hosts.map(({ name }) => name)));
      this.workers.keepOnly(new Set(live.workers.map(({ id }) => id)));
      this.jobs.keepOnly(new Set(live.jobs.map(({ id }) => id)));
    }
    for (const name of live.gone.hosts) this.hosts.remove(name);
    for (const id of live.gone.workers) this.workers.remove(id);
    for (const id of live.gone.jobs) this.jobs.remove(id);
    this.status = 'live';
    this.#tell();
    const kinds = live.all ? ['all'] : live.touched;
    if (kinds.length > 0) for (const listener of this.#touched) listener(kinds);
  }

  setStatus(status: LiveStatus): void {
    if (status === this.status) return;
    this.status = status;
    this.#tell();
  }

  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Calls `listener` with the kinds of what else changed; `all`: anything may have. */
  onTouched(listener: (kinds: readonly string[]) => void): () => void {
    this.#touched.add(listener);
    return () => this.#touched.delete(listener);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

function grouped(
  workers: readonly WorkerView[],
  before: Map<string, WorkerView[]> | undefined,
): Map<string, WorkerView[]> {
  const map = new Map<string, WorkerView[]>();
  for (const worker of workers) {
    const list = map.get(worker.hostName);
    if (list === undefined) map.set(worker.hostName, [worker]);
    else list.push(worker);
  }
  for (const [host, list] of map) {
    const known = before?.get(host);
    if (known?.length === list.length && list.every((each, at) => each === known[at]))
      map.set(host, known);
  }
  return map;
}
