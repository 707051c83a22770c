/** The lines of a log as it arrives: pieces may end anywhere, also within a character. */

/** What a build's log says of its steps, between signs that terminals do not show. */
export const MARK = /\x1b_pomona;([^\x1b]*)\x1b\\/g;
const SGR = /\x1b\[([0-9;]*)m/g;
/** Other orders to terminals than colours. */
const ORDERS = /\x1b(?:\[[0-9;?]*[A-Za-ln-z]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Z0-9]|[=>])/g;

export interface LogLine {
  /** With its colours, and without other orders to terminals. */
  readonly text: string;
  /** Colours that lines before left on. */
  readonly style: string;
  /** Wall-clock ms of the host when its beginning was printed. */
  readonly time: number;
}

/** A part that can be folded away: from its heading to before `end`. */
export interface LogGroup {
  readonly start: number;
  readonly title: string;
  /** Index after its last line; absent: it goes on. */
  end?: number;
}

export class LogLines {
  readonly lines: LogLine[] = [];
  /** By the index of the heading's line. */
  readonly groups = new Map<number, LogGroup>();
  #rest = '';
  #restTime = 0;
  #style = '';
  #open: LogGroup[] = [];
  /** The last line has not ended. */
  #partial = false;
  readonly #decoder = new TextDecoder();
  readonly #onMark: (mark: string, line: number) => void;

  /** `onMark` is told what stands between marks, and before which line. */
  constructor(onMark: (mark: string, line: number) => void = () => undefined) {
    this.#onMark = onMark;
  }

  push(data: Uint8Array, time: number): void {
    if (this.#rest === '') this.#restTime = time;
    if (this.#partial) this.lines.pop();
    this.#partial = false;
    const text = this.#rest + this.#decoder.decode(data, { stream: true });
    const lines = text.split('\n');
    this.#rest = lines.pop() ?? '';
    for (const [index, line] of lines.entries())
      this.#add(line, index === 0 ? this.#restTime : time);
    if (lines.length > 0) this.#restTime = time;
    if (this.#rest === '') return;
    // What has no end yet is shown, too: a question, or a program that counts.
    this.lines.push({ text: shown(this.#rest), style: this.#style, time: this.#restTime });
    this.#partial = true;
  }

  /** Nothing more comes. */
  end(): void {
    for (const group of this.#open) group.end = this.lines.length;
    this.#open = [];
  }

  #add(raw: string, time: number): void {
    const line = raw.replaceAll(MARK, (_, mark: string) => {
      this.#onMark(mark, this.lines.length);
      return '';
    });
    // A line of marks alone is none.
    if (line === '' && raw !== '' && raw !== '\r') return;
    const text = shown(line);
    const plain = text.replaceAll(SGR, '');
    const begins = /^(?:::group::|##\[group\])(.*)$/.exec(plain);
    if (/^(?:::endgroup::|##\[endgroup\])$/.test(plain)) {
      this.#close(1);
      return;
    }
    if (begins !== null) {
      const group = { start: this.lines.length, title: begins[1] ?? '' };
      this.groups.set(group.start, group);
      this.#open.push(group);
      this.lines.push({ text: begins[1] ?? '', style: '', time });
      return;
    }
    this.lines.push({ text, style: this.#style, time });
    for (const [whole, codes = ''] of text.matchAll(SGR)) {
      this.#style = /(?:^|;)0*$/.test(codes) ? '' : this.#style + whole;
    }
    // Programs that change colours for ever and never end one.
    if (this.#style.length > 256) this.#style = this.#style.slice(-256).replace(/^[^\x1b]*/, '');
  }

  #close(count: number): void {
    for (let n = 0; n < count; n += 1) {
      const group = this.#open.pop();
      if (group !== undefined) group.end = this.lines.length;
    }
  }
}

/** What a terminal would show of a line in the end: what was written over is gone. */
function shown(line: string): string {
  const text = line.endsWith('\r') ? line.slice(0, -1) : line;
  const at = text.lastIndexOf('\r');
  return (at < 0 ? text : text.slice(at + 1)).replaceAll(ORDERS, '').replaceAll('\t', '    ');
}

export function plainText({ text }: Pick<LogLine, 'text'>): string {
  return text.includes('\x1b') ? text.replaceAll(SGR, '') : text;
}

/** Indexes among the first `count` lines of those that hold the text, whatever their case. */
export function findLines(lines: readonly LogLine[], count: number, wanted: string): number[] {
  if (wanted === '') return [];
  const text = wanted.toLowerCase();
  const found: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const line = lines[index];
    if (line !== undefined && plainText(line).toLowerCase().includes(text)) found.push(index);
  }
  return found;
}

/** Indexes of lines that are not folded away. Undefined: all of them. */
export function visibleLines(
  count: number,
  groups: ReadonlyMap<number, LogGroup>,
  folded: ReadonlySet<number>,
): number[] | undefined {
  if (folded.size === 0) return undefined;
  const visible: number[] = [];
  for (let index = 0; index < count; index += 1) {
    visible.push(index);
    if (folded.has(index)) index = Math.max(index, (groups.get(index)?.end ?? count) - 1);
  }
  return visible;
}
