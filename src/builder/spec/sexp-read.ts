import { SpecError, type Position } from './source.ts';

/** An S-expression and where it stands. */
export type Sexp = SexpAtom | SexpList;
export interface SexpAtom {
  readonly atom: string;
  readonly position: Position;
}
export interface SexpList {
  readonly list: readonly Sexp[];
  readonly position: Position;
}

/** How deep lists may be in one another: far more than any build is, less than a stack can take. */
const MAX_DEPTH = 500;

/**
 * Reads the one S-expression of a file as sexplib does: quoted atoms with OCaml's escapes, comments
 * by `;`, `#| |#` and `#;`. Throws `SpecError`.
 */
export function readSexp(text: string, file: string): Sexp {
  const reader = new SexpReader(text, file);
  const sexp = reader.next(0);
  if (sexp === undefined) throw reader.error('expected a build such as ((from debian:12) ...)');
  reader.expectEnd();
  return sexp;
}

class SexpReader {
  readonly #text: string;
  readonly #file: string;
  #at = 0;
  #line = 1;
  #lineStart = 0;

  constructor(text: string, file: string) {
    this.#text = text;
    this.#file = file;
  }

  error(problem: string, position = this.#position()): SpecError {
    return new SpecError(this.#file, position, problem);
  }

  expectEnd(): void {
    this.#skip(0);
    if (this.#at < this.#text.length) {
      throw this.error('expected the end of the file after the build: one ")" too many before?');
    }
  }

  /** The next expression; undefined before a `)` and at the end. */
  next(depth: number): Sexp | undefined {
    if (depth > MAX_DEPTH) throw this.error(`lists are more than ${MAX_DEPTH} deep in one another`);
    this.#skip(depth);
    const position = this.#position();
    const char = this.#text[this.#at];
    if (char === undefined || char === ')') return undefined;
    if (char === '"') return { atom: this.#quoted(), position };
    if (char !== '(') return { atom: this.#plain(), position };
    this.#advance();
    const list: Sexp[] = [];
    for (let item = this.next(depth + 1); item !== undefined; item = this.next(depth + 1)) {
      list.push(item);
    }
    if (this.#text[this.#at] !== ')') throw this.error('this "(" has no ")"', position);
    this.#advance();
    return { list, position };
  }

  /** Past white space and comments. */
  #skip(depth: number): void {
    for (;;) {
      const char = this.#text[this.#at];
      if (char === undefined) return;
      if (/[ \t\r\n\f]/.test(char)) this.#advance();
      else if (char === ';') this.#skipLine();
      else if (this.#text.startsWith('#|', this.#at)) this.#skipBlock();
      else if (this.#text.startsWith('#;', this.#at)) {
        const position = this.#position();
        this.#advance(2);
        if (this.next(depth + 1) === undefined) {
          throw this.error('expected an expression after "#;"', position);
        }
      } else return;
    }
  }

  #skipLine(): void {
    while (this.#at < this.#text.length && this.#text[this.#at] !== '\n') this.#advance();
  }

  /** Block comments may be in one another. */
  #skipBlock(): void {
    const position = this.#position();
    let depth = 0;
    do {
      if (this.#at >= this.#text.length) throw this.error('this "#|" has no "|#"', position);
      if (this.#text.startsWith('#|', this.#at)) depth += 1;
      else if (this.#text.startsWith('|#', this.#at)) depth -= 1;
      else {
        this.#advance();
        continue;
      }
      this.#advance(2);
    } while (depth > 0);
  }

  #plain(): string {
    const begin = this.#at;
    while (this.#at < this.#text.length && !/[ \t\r\n\f()";]/.test(this.#text[this.#at] ?? '')) {
      this.#advance();
    }
    return this.#text.slice(begin, this.#at);
  }

  #quoted(): string {
    const position = this.#position();
    const bytes: Buffer[] = [];
    this.#advance();
    for (;;) {
      const rest = /^[^"\\]+/.exec(this.#text.slice(this.#at, this.#at + 4096))?.[0] ?? '';
      if (rest !== '') {
        bytes.push(Buffer.from(rest));
        this.#advance(rest.length);
        continue;
      }
      const char = this.#text[this.#at];
      if (char === undefined) throw this.error("this '\"' has no end", position);
      if (char === '"') break;
      bytes.push(this.#escape());
    }
    this.#advance();
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(bytes));
    } catch {
      throw this.error('the escapes of this string make no UTF-8 text', position);
    }
  }

  #escape(): Buffer {
    const position = this.#position();
    const rest = this.#text.slice(this.#at + 1, this.#at + 4);
    const decimal = /^\d\d\d/.exec(rest)?.[0];
    const hexadecimal = /^x([0-9a-fA-F]{2})/.exec(rest)?.[1];
    const code = decimal === undefined ? undefined : Number(decimal);
    if (code !== undefined || hexadecimal !== undefined) {
      const byte = code ?? Number.parseInt(hexadecimal ?? '', 16);
      if (byte > 255)
        throw this.error(`\\${decimal} is no byte: expected \\000 to \\255`, position);
      this.#advance(4);
      return Buffer.of(byte);
    }
    if (/^\r?\n/.test(rest)) {
      // A line that goes on: the line break and the blanks that begin the next line are nothing.
      this.#advance(rest.startsWith('\r') ? 3 : 2);
      while (/[ \t]/.test(this.#text[this.#at] ?? '')) this.#advance();
      return Buffer.alloc(0);
    }
    const char = rest[0];
    if (char === undefined) throw this.error('the file ends in an escape', position);
    this.#advance(2);
    const plain = ESCAPES[char];
    return Buffer.from(plain ?? `\\${char}`);
  }

  #advance(count = 1): void {
    for (let step = 0; step < count && this.#at < this.#text.length; step += 1) {
      if (this.#text[this.#at] === '\n') {
        this.#line += 1;
        this.#lineStart = this.#at + 1;
      }
      this.#at += 1;
    }
  }

  #position(): Position {
    return { line: this.#line, column: this.#at - this.#lineStart + 1 };
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  ...{ n: '\n', t: '\t', r: '\r', b: '\b' },
  ...{ '"': '"', "'": "'", '\\': '\\', ' ': ' ' },
};
