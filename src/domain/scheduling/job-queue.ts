import type { QueuedJob } from './fleet-view.ts';
import { SortedList } from './sorted-list.ts';

/**
 * The jobs that wait. Those that ask for the same stand in one line: when nothing can be had for the
 * first of a line, nothing can be had for the rest of it, however long it is.
 */
export class JobQueue {
  readonly #places = new Map<string, { readonly job: QueuedJob; readonly line: Line }>();
  readonly #bands = new SortedList<Band>((a, b) => b.priority - a.priority);
  readonly #bandOf = new Map<number, Band>();

  get size(): number {
    return this.#places.size;
  }

  get(id: string): QueuedJob | undefined {
    return this.#places.get(id)?.job;
  }

  /** Those of the highest priority first; urgent ones before all. */
  get bands(): Iterable<Band> {
    return this.#bands;
  }

  *[Symbol.iterator](): Iterator<QueuedJob> {
    for (const { job } of this.#places.values()) yield job;
  }

  add(job: QueuedJob): void {
    if (this.#places.has(job.id)) this.remove(job.id);
    const priority = bandOf(job);
    let band = this.#bandOf.get(priority);
    if (band === undefined) {
      band = { priority, teams: new Map() };
      this.#bandOf.set(priority, band);
      this.#bands.add(band);
    }
    const team = job.team ?? '';
    let lines = band.teams.get(team);
    if (lines === undefined) band.teams.set(team, (lines = new Map()));
    const key = likenessOf(job);
    let line = lines.get(key);
    if (line === undefined) lines.set(key, (line = { key, team, band, jobs: byAge() }));
    line.jobs.add(job);
    this.#places.set(job.id, { job, line });
  }

  remove(id: string): void {
    const place = this.#places.get(id);
    if (place === undefined) return;
    this.#places.delete(id);
    const { job, line } = place;
    line.jobs.delete(job);
    if (line.jobs.size > 0) return;
    const { band, team, key } = line;
    const lines = band.teams.get(team);
    lines?.delete(key);
    if (lines?.size === 0) band.teams.delete(team);
    if (band.teams.size > 0) return;
    this.#bands.delete(band);
    this.#bandOf.delete(band.priority);
  }
}

/** Jobs of one priority, by team and likeness. */
export interface Band {
  readonly priority: number;
  readonly teams: Map<string, Map<string, Line>>;
}

/** Jobs of one team and priority that ask for the same, the oldest first. */
export interface Line {
  readonly key: string;
  readonly team: string;
  readonly band: Band;
  readonly jobs: SortedList<QueuedJob>;
}

function bandOf({ priority, urgent }: QueuedJob): number {
  return urgent === true ? Infinity : (priority ?? 0);
}

/** Ids sort by age. */
function byAge(): SortedList<QueuedJob> {
  return new SortedList((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}

/** Equal for jobs that the same workers can have. */
function likenessOf({ pool, labels, trust, host, build }: QueuedJob): string {
  return JSON.stringify([pool, labels.toSorted(), trust, host, build]);
}
