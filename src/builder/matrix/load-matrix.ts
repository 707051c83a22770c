import type { ParsedSpec } from '../spec/parse.ts';
import { readText, readYaml, specOf } from '../spec/yaml-file.ts';
import { matrixFileSchema, type MatrixFile } from './matrix-file.ts';

export interface LoadedMatrix {
  readonly matrix: MatrixFile;
  /** The spec of every cell, with its variables. */
  readonly parsed: ParsedSpec;
}

/** Reads a matrix and its spec. Throws `SpecError` or `UnreadableFile` with the place. */
export async function loadMatrix(file: string): Promise<LoadedMatrix> {
  const matrix = readYaml(await readText(file), file, matrixFileSchema);
  return { matrix, parsed: await specOf(matrix.spec, file) };
}
