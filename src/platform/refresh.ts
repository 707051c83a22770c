/**
 * Work that is asked for again and again, such as reading what changed: one run at a time, and who asks
 * during one gets another after it. So what a run found is never overtaken by one that began earlier.
 */
export class Refresh {
  readonly #work: () => Promise<void>;
  readonly #failed: (error: unknown) => void;
  #running = false;
  #again = false;

  constructor(work: () => Promise<void>, failed: (error: unknown) => void) {
    this.#work = work;
    this.#failed = failed;
  }

  ask(): void {
    this.#again = true;
    if (!this.#running) void this.#run();
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#again) {
      this.#again = false;
      await this.#work().catch(this.#failed);
    }
    this.#running = false;
  }
}
