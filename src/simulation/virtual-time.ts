interface Event {
  readonly at: number;
  readonly order: number;
  readonly work: () => void;
}

/** Time that goes from one event to the next. What is due together happens in the order of its making. */
export class VirtualTime {
  /** Milliseconds since the beginning. */
  now = 0;
  readonly #heap: Event[] = [];
  #made = 0;

  at(time: number, work: () => void): void {
    this.#made += 1;
    const event = { at: Math.max(time, this.now), order: this.#made, work };
    const heap = this.#heap;
    let index = heap.push(event) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !isBefore(event, above)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = event;
  }

  after(ms: number, work: () => void): void {
    this.at(this.now + ms, work);
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  /** Lets the next event happen, unless it is after `until`. Returns whether one did. */
  step(until: number): boolean {
    const [first] = this.#heap;
    if (first === undefined || first.at > until) return false;
    this.#removeFirst();
    this.now = first.at;
    first.work();
    return true;
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      const left = 2 * index + 1;
      const [a, b] = [heap[left], heap[left + 1]];
      const child = b !== undefined && a !== undefined && isBefore(b, a) ? left + 1 : left;
      const below = heap[child];
      if (below === undefined || !isBefore(below, last)) break;
      heap[index] = below;
      index = child;
    }
    heap[index] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
