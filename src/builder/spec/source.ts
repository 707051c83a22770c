/** A place in a file; both count from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Thrown for a spec that is not as expected; the message begins with `file:line:column`. */
export class SpecError extends Error {
  readonly code = 'spec';
  readonly file: string;
  readonly position: Position;
  constructor(file: string, position: Position, problem: string) {
    super(`${file}:${position.line}:${position.column}: ${problem}`);
    this.name = 'SpecError';
    this.file = file;
    this.position = position;
  }
}

/** Where the parts of a spec stand in its file, for errors that are found later. */
export class Positions {
  readonly file: string;
  readonly #of = new WeakMap<object, Position>();

  constructor(file: string) {
    this.file = file;
  }

  /** Remembers where `node` stands, and returns it. */
  mark<T extends object>(node: T, position: Position): T {
    this.#of.set(node, position);
    return node;
  }

  /** The error for a part of this spec. */
  error(node: object, problem: string): SpecError {
    return new SpecError(this.file, this.#of.get(node) ?? { line: 1, column: 1 }, problem);
  }
}
