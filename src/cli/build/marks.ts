import type { BuildEvent, BuildOutcome, StepPlace } from '../../builder/report.ts';
import { logMark, MarkBreaker, type LogMark } from '../../protocol/log-marks.ts';
import type { BuildPrinter } from './progress.ts';

/** Measuring what steps add may take as long as this; what is not measured by then is not told. */
const MEASURE_MS = 5_000;
const HEADING_LENGTH = 2_000;

/** Says in a build's log what its steps are, for pages that draw them. */
export class BuildMarks {
  readonly #write: (text: string) => void | Promise<void>;
  readonly #made = new Set<string>();

  constructor(write: (text: string) => void | Promise<void>) {
    this.#write = write;
  }

  event(event: BuildEvent): void | Promise<void> {
    if (event.type === 'step') {
      const { heading, copies } = event.place;
      const from = copies === undefined ? {} : { copies: [...copies] };
      const mark = { ...stepOf(event.place), heading: heading.slice(0, HEADING_LENGTH), ...from };
      return this.#say({ type: 'step', ...mark });
    }
    if (event.type !== 'done') return;
    const { place, id, how, ms } = event;
    this.#made.add(id);
    return this.#say({ type: 'done', ...stepOf(place), id, how, ms: Math.round(ms) });
  }

  /** `bytesOf`: what a result adds; undefined: it is not known any more. */
  async outcome(
    outcome: BuildOutcome,
    bytesOf: (id: string) => Promise<number> | undefined,
  ): Promise<void> {
    if (outcome.outcome === 'failed') {
      await this.#say({ type: 'failed', ...stepOf(outcome.place) });
    }
    const until = performance.now() + MEASURE_MS;
    for (const id of this.#made) {
      if (performance.now() >= until) return;
      const bytes = await bytesOf(id);
      if (bytes !== undefined) await this.#say({ type: 'size', id, bytes });
    }
  }

  #say(mark: LogMark): void | Promise<void> {
    return this.#write(logMark(mark));
  }
}

function stepOf({
  build,
  index,
  of,
}: StepPlace): Pick<LogMark & { type: 'step' }, 'build' | 'index' | 'of'> {
  return { build: [...build], index, of };
}

/** Prints what steps print so that none of it is taken for a mark. */
export function withoutMarks(printer: BuildPrinter): BuildPrinter {
  const breakers = new Map<string, [StepPlace, MarkBreaker]>();
  const print = (place: StepPlace, data: Buffer) =>
    data.length === 0 ? undefined : printer.event({ type: 'output', place, data });
  return {
    async event(event) {
      const { place } = event;
      const key = JSON.stringify(place.build);
      if (event.type === 'output') {
        const [, breaker] = breakers.get(key) ?? [place, new MarkBreaker()];
        breakers.set(key, [place, breaker]);
        return print(place, breaker.push(event.data));
      }
      const rest = breakers.get(key)?.[1].end();
      if (rest !== undefined) await print(place, rest);
      return printer.event(event);
    },
    outcome(outcome, ms) {
      for (const [place, breaker] of breakers.values()) void print(place, breaker.end());
      printer.outcome(outcome, ms);
    },
  };
}
