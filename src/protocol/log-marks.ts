import { z } from 'zod';

/**
 * Marks say in a build's log what its steps are, for pages that draw them: JSON in an application
 * program command (`ESC _ pomona; ... ESC \`, ECMA-48), which terminals do not show. Programs that
 * print a log take them out.
 */
const BEGIN = '\x1b_pomona;';
const END = '\x1b\\';
/** No mark is longer; what looks like one is text. */
const MOST_BYTES = 65_536;
/** What stands in for the escape in what is no mark of ours: its symbol, in UTF-8. */
const SHOWN_ESCAPE = '\xe2\x90\x9b';

const stepSchema = z.object({
  /** Names of the nested builds that it is in, outermost first. */
  build: z.array(z.string()),
  /** From 1; the base is 0. */
  index: z.int(),
  of: z.int(),
});

export const logMarkSchema = z.discriminatedUnion('type', [
  z.object({
    ...{ type: z.literal('step'), ...stepSchema.shape, heading: z.string() },
    /** Names of the nested build that it copies from, outermost first. */
    copies: z.array(z.string()).exactOptional(),
  }),
  z.object({
    type: z.literal('done'),
    ...stepSchema.shape,
    id: z.string(),
    how: z.enum(['cached', 'made', 'shared']),
    ms: z.number(),
  }),
  /** Told at the end: what each step adds. */
  z.object({ type: z.literal('size'), id: z.string(), bytes: z.number() }),
  z.object({ type: z.literal('failed'), ...stepSchema.shape }),
]);
export type LogMark = z.output<typeof logMarkSchema>;

export function logMark(mark: LogMark): string {
  // JSON has no control characters of its own.
  return `${BEGIN}${JSON.stringify(mark)}${END}`;
}

/** Takes marks out of a log that comes in pieces, which may be cut anywhere. */
export class MarkFilter {
  #held = Buffer.alloc(0);

  push(piece: Buffer): Buffer {
    const all = this.#held.length === 0 ? piece : Buffer.concat([this.#held, piece]);
    this.#held = Buffer.alloc(0);
    const kept: Buffer[] = [];
    let from = 0;
    for (;;) {
      const at = all.indexOf(0x1b, from);
      if (at < 0) break;
      const start = all.subarray(at, at + BEGIN.length).toString('latin1');
      if (!BEGIN.startsWith(start)) {
        kept.push(all.subarray(from, at + 1));
        from = at + 1;
        continue;
      }
      kept.push(all.subarray(from, at));
      const end = start.length < BEGIN.length ? -1 : all.indexOf(END, at + BEGIN.length, 'latin1');
      if (end < 0 && all.length - at > MOST_BYTES) {
        kept.push(all.subarray(at, at + 1));
        from = at + 1;
        continue;
      }
      if (end < 0) {
        this.#held = Buffer.from(all.subarray(at));
        return Buffer.concat(kept);
      }
      from = end + END.length;
    }
    kept.push(all.subarray(from));
    return kept.length === 1 ? (kept[0] ?? piece) : Buffer.concat(kept);
  }

  /** What looked like the beginning of a mark, at the end of the log. */
  end(): Buffer {
    const rest = this.#held;
    this.#held = Buffer.alloc(0);
    return rest;
  }
}

/** Makes text of what a step prints that looks like a mark: only the build tells of its steps. */
export class MarkBreaker {
  /** May be the beginning of a mark. */
  #held = '';

  push(piece: Buffer): Buffer {
    const text = this.#held + piece.toString('latin1');
    let begun = Math.min(BEGIN.length - 1, text.length);
    while (!BEGIN.startsWith(text.slice(text.length - begun))) begun -= 1;
    this.#held = text.slice(text.length - begun);
    const whole = text.slice(0, text.length - begun);
    return Buffer.from(whole.replaceAll(BEGIN, SHOWN_ESCAPE + BEGIN.slice(1)), 'latin1');
  }

  end(): Buffer {
    const rest = Buffer.from(this.#held, 'latin1');
    this.#held = '';
    return rest;
  }
}
