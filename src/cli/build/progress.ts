import { styleText } from 'node:util';
import type { BuildEvent, BuildOutcome, StepPlace } from '../../builder/report.ts';
import { span } from '../output.ts';

/** How builds are shown. */
export interface BuildPrinter {
  event(event: BuildEvent): void | Promise<void>;
  outcome(outcome: BuildOutcome, ms: number): void;
}

/** One JSON object a line: each event, and last the outcome. */
export function jsonPrinter(write: (text: string) => void | Promise<void>): BuildPrinter {
  const line = (value: unknown) => write(`${JSON.stringify(value)}\n`);
  return {
    event(event) {
      if (event.type !== 'output') return line(event);
      return line({ type: 'output', place: event.place, text: event.data.toString('utf8') });
    },
    outcome: (outcome, ms) => void line({ type: 'result', ms: Math.round(ms), ...outcome }),
  };
}

/** Lines as they come; those of nested builds begin with their names. */
export class PlainPrinter implements BuildPrinter {
  readonly #write: (text: string) => void | Promise<void>;
  readonly #colours: boolean;
  /** Of each build, what it printed since its last line ended. */
  readonly #begun = new Map<string, Buffer>();
  readonly #counts = { cached: 0, made: 0, shared: 0 };

  constructor(write: (text: string) => void | Promise<void>, colours: boolean) {
    this.#write = write;
    this.#colours = colours;
  }

  event(event: BuildEvent): void | Promise<void> {
    const { place } = event;
    switch (event.type) {
      case 'step':
        return this.#line(
          place,
          this.#style('bold', `${numberOf(place)} ${firstLine(place.heading)}`),
        );
      case 'output':
        return this.#output(place, event.data);
      case 'note':
        return this.#line(place, this.#style('dim', `note: ${event.text}`));
      case 'done': {
        const { how, id, ms } = event;
        this.#counts[how] += 1;
        const said = { cached: 'cached', made: 'made', shared: 'made by another build' }[how];
        const text = `${said} ${id.slice(0, 14)} in ${span(ms)}`;
        return this.#flush(place, this.#style(how === 'cached' ? 'cyan' : 'green', text));
      }
    }
  }

  outcome(outcome: BuildOutcome, ms: number): void {
    switch (outcome.outcome) {
      case 'succeeded': {
        const { cached, made, shared } = this.#counts;
        const parts = [`${cached} cached`, `${made} made`];
        if (shared > 0) parts.push(`${shared} made by other builds`);
        void this.#write(`Built in ${span(ms)} (${parts.join(', ')})\n${outcome.id}\n`);
        return;
      }
      case 'failed': {
        const { place, ending, log } = outcome;
        const where = place.build.length === 0 ? '' : ` of ${place.build.join('/')}`;
        const text = `Failed: step ${place.index}${where} (${firstLine(place.heading)}) ${endingText(ending)}`;
        void this.#write(`${this.#style('red', text)}\nIts log: ${log}\n`);
        return;
      }
      case 'cancelled':
        void this.#write('Cancelled; what was made is kept for the next build\n');
        return;
    }
  }

  #output(place: StepPlace, data: Buffer): void | Promise<void> {
    const key = place.build.join('/');
    if (key === '') return this.#write(data.toString('utf8'));
    const all = Buffer.concat([this.#begun.get(key) ?? Buffer.alloc(0), data]);
    const end = all.lastIndexOf('\n') + 1;
    this.#begun.set(key, all.subarray(end));
    if (end === 0) return;
    const lines = all
      .subarray(0, end - 1)
      .toString('utf8')
      .split('\n');
    return this.#write(lines.map((line) => `[${key}] ${line}\n`).join(''));
  }

  /** What a build printed last may lack its end of line. */
  #flush(place: StepPlace, text: string): void | Promise<void> {
    const key = place.build.join('/');
    const rest = this.#begun.get(key);
    this.#begun.delete(key);
    if (rest === undefined || rest.length === 0) return this.#line(place, text);
    return this.#write(`[${key}] ${rest.toString('utf8')}\n[${key}] ${text}\n`);
  }

  #line({ build }: StepPlace, text: string): void | Promise<void> {
    return this.#write(`${build.length === 0 ? '' : `[${build.join('/')}] `}${text}\n`);
  }

  #style(style: 'bold' | 'dim' | 'cyan' | 'green' | 'red', text: string): string {
    return this.#colours ? styleText(style, text, { validateStream: false }) : text;
  }
}

export function endingText(ending: (BuildOutcome & { outcome: 'failed' })['ending']): string {
  if ('timedOut' in ending) return 'took longer than it may';
  if ('cancelled' in ending) return 'was cancelled';
  const reason = ending.reason === undefined ? '' : ` (${ending.reason})`;
  if ('exitCode' in ending) return `ended with ${ending.exitCode}${reason}`;
  return `was ended by ${ending.signal}${reason}`;
}

function numberOf({ index, of }: StepPlace): string {
  return index === 0 ? '(base)' : `(${index}/${of})`;
}

function firstLine(heading: string): string {
  const [line = '', ...more] = heading.split('\n');
  return more.length > 0 ? `${line} ...` : line;
}
