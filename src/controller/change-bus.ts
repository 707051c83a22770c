import type { EventRow } from '../db/queries/events.ts';

export interface Change {
  /** Hosts whose desired workers changed. */
  readonly hosts: ReadonlySet<string>;
  /** Ids of jobs and workers, and names of hosts and pools, whose state changed. */
  readonly subjects: ReadonlySet<string>;
  /** The same with their kinds. */
  readonly rows: readonly ChangedRow[];
  /** Anything may have changed: what was told was not heard. */
  readonly all: boolean;
}

export type ChangedRow = Pick<EventRow, 'kind' | 'subject'>;

export function changeOf(hosts: Iterable<string>, rows: readonly ChangedRow[]): Change {
  const subjects = new Set(rows.map(({ subject }) => subject));
  return { hosts: new Set(hosts), rows, subjects, all: false };
}

export const ANYTHING: Change = { hosts: new Set(), rows: [], subjects: new Set(), all: true };

/** Tells the parts of one controller process that something in the database changed. */
export class ChangeBus {
  readonly #listeners = new Set<(change: Change) => void>();

  /** Returns the way to stop listening. Listeners must be quick and must not throw. */
  listen(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  publish(change: Change): void {
    for (const listener of this.#listeners) listener(change);
  }
}
