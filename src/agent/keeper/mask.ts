const MASK = Buffer.from('***');

/** Shorter ones would mask ordinary words. */
const SHORTEST = 4;

/**
 * What must not show of these secrets: each whole, each of its lines, and its base64 form.
 */
export function secretForms(secrets: readonly string[]): Buffer[] {
  const forms = new Set<string>();
  for (const secret of secrets) {
    const lines = secret.split(/\r?\n/);
    for (const form of [secret, ...lines, Buffer.from(secret).toString('base64')]) {
      if (form.length >= SHORTEST) forms.add(form);
    }
  }
  return [...forms].map((form) => Buffer.from(form)).toSorted((a, b) => b.length - a.length);
}

/**
 * Replaces secrets in a stream of bytes by `***`, also where one is cut over several chunks. The
 * leftmost and there the longest goes first. Bytes are held back only as long as they may be the
 * beginning of a secret.
 */
export class Masker {
  readonly #forms: readonly Buffer[];
  readonly #longest: number;
  #held: Buffer = Buffer.alloc(0);

  /** @param forms as `secretForms` gives them: longest first, none empty */
  constructor(forms: readonly Buffer[]) {
    this.#forms = forms;
    this.#longest = forms[0]?.length ?? 0;
  }

  /** What may be shown now. */
  push(chunk: Buffer): Buffer {
    if (this.#forms.length === 0) return chunk;
    const all = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    return this.#mask(all, false);
  }

  /** What was held back, when no more is to come. */
  end(): Buffer {
    return this.#mask(this.#held, true);
  }

  #mask(all: Buffer, last: boolean): Buffer {
    const shown: Buffer[] = [];
    let at = 0;
    let open = last ? all.length : this.#openEnd(all, 0);
    for (;;) {
      const match = this.#next(all, at);
      if (match === undefined || match.at >= open) break;
      shown.push(all.subarray(at, match.at), MASK);
      at = match.at + match.length;
      if (open < at) open = last ? all.length : this.#openEnd(all, at);
    }
    shown.push(all.subarray(at, open));
    this.#held = Buffer.from(all.subarray(open));
    return shown.length === 1 ? (shown[0] ?? MASK) : Buffer.concat(shown);
  }

  #next(all: Buffer, from: number): { at: number; length: number } | undefined {
    let best: { at: number; length: number } | undefined;
    for (const form of this.#forms) {
      const at = all.indexOf(form, from);
      if (at >= 0 && (best === undefined || at < best.at)) best = { at, length: form.length };
    }
    return best;
  }

  /** Where, from `from` on, the first end of `all` begins that may become a secret. */
  #openEnd(all: Buffer, from: number): number {
    for (let at = Math.max(from, all.length - this.#longest + 1); at < all.length; at += 1) {
      const rest = all.subarray(at);
      for (const form of this.#forms) {
        if (form[0] !== rest[0] || form.length <= rest.length) continue;
        if (form.subarray(0, rest.length).equals(rest)) return at;
      }
    }
    return all.length;
  }
}
