import { watch, type FSWatcher } from 'node:fs';

/**
 * Tells when something in a directory may have changed: at once where the system says so, and each
 * `pollMs` anyway, since watches can be lost or not to be had.
 */
export class DirectoryWatch {
  readonly #timer: NodeJS.Timeout;
  #watcher: FSWatcher | undefined;
  #waiting: (() => void) | undefined;
  #changed = true;

  /** @param matters which file names are worth waking for; all when left out */
  constructor(directory: string, pollMs: number, matters: (name: string) => boolean = () => true) {
    this.#timer = setInterval(() => this.#tell(), pollMs);
    try {
      this.#watcher = watch(directory, (_event, name) => {
        if (name === null || matters(name)) this.#tell();
      });
      this.#watcher.on('error', () => this.#watcher?.close());
    } catch {
      // No watch to be had (limits, vanished directory): polling alone carries on.
      this.#watcher = undefined;
    }
  }

  /** Returns at the next change, or at once when one came since the last return. */
  async next(): Promise<void> {
    if (!this.#changed) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting = resolve;
      await promise;
    }
    this.#changed = false;
  }

  /** Makes `next` return. */
  poke(): void {
    this.#tell();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#watcher?.close();
    this.#tell();
  }

  #tell(): void {
    this.#changed = true;
    this.#waiting?.();
    this.#waiting = undefined;
  }
}
