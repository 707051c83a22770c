import type { LogMark } from '../../../src/protocol/log-marks.ts';

/** A step of a build, as the marks of its log tell of it. */
export interface Step {
  /** Names of the nested builds that it is in, outermost first. */
  readonly build: readonly string[];
  readonly index: number;
  readonly of: number;
  readonly heading: string;
  /** Names of the nested build that it copies from, outermost first. */
  readonly copies?: readonly string[];
  readonly how?: 'cached' | 'made' | 'shared' | 'failed';
  readonly id?: string;
  readonly ms?: number;
  readonly bytes?: number;
  /** Lines of the log: from the first to before the last. */
  readonly from: number;
  readonly to?: number;
}

/** Gathers marks into steps, in the order in which the steps began. */
export class Steps {
  readonly #steps = new Map<string, Step>();

  get list(): readonly Step[] {
    return [...this.#steps.values()];
  }

  /** `line`: index of the line before which it stood. */
  take(mark: LogMark, line: number): void {
    if (mark.type === 'size') {
      for (const [key, step] of this.#steps) {
        if (step.id === mark.id) this.#steps.set(key, { ...step, bytes: mark.bytes });
      }
      return;
    }
    const { build, index, of } = mark;
    const key = JSON.stringify([build, index]);
    const known = this.#steps.get(key) ?? { build, index, of, heading: '', from: line };
    switch (mark.type) {
      case 'step': {
        const { heading, copies } = mark;
        const more = copies === undefined ? {} : { copies };
        this.#steps.set(key, { build, index, of, heading, ...more, from: line });
        return;
      }
      case 'done':
        this.#steps.set(key, { ...known, how: mark.how, id: mark.id, ms: mark.ms, to: line });
        return;
      case 'failed':
        this.#steps.set(key, { ...known, how: 'failed', to: line });
        return;
    }
  }
}

/** The name before each line of a nested build's output. */
export function prefixOf({ build }: Pick<Step, 'build'>): string {
  return build.length === 0 ? '' : `[${build.join('/')}] `;
}
