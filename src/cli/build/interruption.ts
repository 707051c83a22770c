import type { Builder } from '../../builder/builder.ts';
import { whenReaderLeaves } from '../standard-output.ts';

/** The first Ctrl-C ends this build, the second also what others wait for. */
export class Interruption {
  readonly #once = new AbortController();
  readonly #again = new AbortController();
  builder: Builder | undefined;
  readonly #listener = () => {
    if (this.#once.signal.aborted) this.#again.abort();
    this.#once.abort();
    void this.builder?.waitedFor().then((waited) => {
      if (!waited || this.#again.signal.aborted) return;
      process.stderr.write(
        'pomona: others wait for this step, which goes on; Ctrl-C again ends it\n',
      );
    });
  };

  constructor() {
    process.on('SIGINT', this.#listener).on('SIGTERM', this.#listener);
    whenReaderLeaves(this.#listener);
  }

  get once(): AbortSignal {
    return this.#once.signal;
  }

  get again(): AbortSignal {
    return this.#again.signal;
  }

  end(): void {
    process.off('SIGINT', this.#listener).off('SIGTERM', this.#listener);
  }
}
