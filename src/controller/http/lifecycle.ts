import type { ServerResponse } from 'node:http';
import { ProblemError } from '../../protocol/problem.ts';

/** Tells requests under way when they should end. */
export class Lifecycle {
  readonly #underWay = new Set<AbortController>();
  #stopping = false;

  get stopping(): boolean {
    return this.#stopping;
  }

  /**
   * A signal that aborts when the client is gone, when the answer is complete and when the server
   * stops. Throws ProblemError `not_ready` when it stops already.
   */
  signalFor(response: ServerResponse): AbortSignal {
    if (this.#stopping) {
      throw new ProblemError('not_ready', 'the controller stops; try again in a moment');
    }
    const controller = new AbortController();
    this.#underWay.add(controller);
    response.once('close', () => {
      this.#underWay.delete(controller);
      controller.abort();
    });
    return controller.signal;
  }

  stop(): void {
    this.#stopping = true;
    for (const controller of this.#underWay) controller.abort();
  }
}
