export interface Change {
  /** Hosts whose desired workers changed. */
  readonly hosts: ReadonlySet<string>;
  /** Ids of jobs and workers, and names of hosts and pools, whose state changed. */
  readonly subjects: ReadonlySet<string>;
}

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
