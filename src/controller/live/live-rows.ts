/** Rows of one kind as they were told last, and what of them changes. */
export class LiveRows<Row> {
  readonly #rows = new Map<string, { row: Row; text: string }>();
  #changed = new Set<string>();
  #gone = new Set<string>();

  get rows(): Row[] {
    return [...this.#rows.values()].map(({ row }) => row);
  }

  /** Takes in a row as it is now; undefined: it is no more. What is as before changes nothing. */
  put(id: string, row: Row | undefined): void {
    if (row === undefined) {
      if (!this.#rows.delete(id)) return;
      this.#changed.delete(id);
      this.#gone.add(id);
      return;
    }
    const text = JSON.stringify(row);
    if (this.#rows.get(id)?.text === text) return;
    this.#rows.set(id, { row, text });
    this.#changed.add(id);
    this.#gone.delete(id);
  }

  /** All there are: others are no more. */
  replace(rows: Iterable<readonly [string, Row]>): void {
    const now = new Map(rows);
    for (const id of this.#rows.keys()) if (!now.has(id)) this.put(id, undefined);
    for (const [id, row] of now) this.put(id, row);
  }

  /** What changed since this was called last. */
  take(): { changed: Row[]; gone: string[] } {
    const changed = [...this.#changed].flatMap((id) => this.#rows.get(id)?.row ?? []);
    const gone = [...this.#gone];
    this.#changed = new Set();
    this.#gone = new Set();
    return { changed, gone };
  }
}
