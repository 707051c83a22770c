/** Work of many small pieces that are each done at once, with turns for others in between. */
export class Turns {
  #since = performance.now();

  /** Call between pieces: it waits for the others' turn when this work had its own. */
  async next(): Promise<void> {
    if (performance.now() - this.#since < TURN_MS) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.#since = performance.now();
  }
}

/** How long others wait at most, but for the last piece. */
const TURN_MS = 4;
