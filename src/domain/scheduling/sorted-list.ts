/**
 * Items in the order of `compare`, which must tell any two of them apart. An item's place is found by
 * its order, so what the order depends on must not change while it is in the list: take it out before.
 */
export class SortedList<T> implements Iterable<T> {
  readonly #compare: (a: T, b: T) => number;
  #items: T[] = [];
  /** Items before it are gone: what leaves a queue leaves at its head. */
  #start = 0;

  constructor(compare: (a: T, b: T) => number, items: Iterable<T> = []) {
    this.#compare = compare;
    this.#items = [...items].toSorted(compare);
  }

  get size(): number {
    return this.#items.length - this.#start;
  }

  at(index: number): T | undefined {
    return index < 0 ? undefined : this.#items[this.#start + index];
  }

  /** Does nothing when it is there. */
  add(item: T): void {
    const last = this.#items.at(-1);
    if (this.size === 0 || last === undefined || this.#compare(last, item) < 0) {
      this.#items.push(item);
      return;
    }
    const index = this.#place(item);
    const there = this.#items[index];
    if (there !== undefined && this.#compare(there, item) === 0) return;
    this.#items.splice(index, 0, item);
  }

  /** Returns whether it was there. */
  delete(item: T): boolean {
    const index = this.#place(item);
    const there = this.#items[index];
    if (there === undefined || this.#compare(there, item) !== 0) return false;
    if (index > this.#start) {
      this.#items.splice(index, 1);
      return true;
    }
    this.#start += 1;
    if (this.#start * 2 > this.#items.length && this.#start > 32) {
      this.#items = this.#items.slice(this.#start);
      this.#start = 0;
    }
    return true;
  }

  /** Index of the first item for which `is` holds, where it holds for all after it too. */
  firstWhere(is: (item: T) => boolean): number {
    let [low, high] = [this.#start, this.#items.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const item = this.#items[middle];
      if (item !== undefined && is(item)) high = middle;
      else low = middle + 1;
    }
    return low - this.#start;
  }

  *[Symbol.iterator](): Iterator<T> {
    for (let index = 0; index < this.size; index += 1) {
      const item = this.at(index);
      if (item !== undefined) yield item;
    }
  }

  #place(item: T): number {
    return this.#start + this.firstWhere((other) => this.#compare(other, item) >= 0);
  }
}
