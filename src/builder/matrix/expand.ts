import type { Spec } from '../spec/spec.ts';
import { substitute, unknownName, UnknownVariable } from '../spec/substitute.ts';
import type { MatrixFile } from './matrix-file.ts';

/** Thrown for a matrix that contradicts itself. */
export class MatrixError extends Error {
  readonly code = 'matrix';
}

/** One build of a matrix; `skip`: why it is not built. */
export interface CellPlan {
  readonly row: string;
  readonly column: string;
  readonly spec: Spec;
  readonly skip: string | undefined;
}

/**
 * The cells of a matrix, column by column, so that builds over one base come together. Replaces
 * `${{ name }}` in every text of the spec by the variable of that name: `row`, `column`, and those
 * of the row and of the column, where the row's come first. Replacing happens in the parsed spec,
 * so no value can change its structure. Throws `MatrixError`.
 */
export function expandMatrix(matrix: MatrixFile, spec: Spec): CellPlan[] {
  const columns = Object.entries(matrix.columns);
  checkTwice(matrix.rows.map((row) => row.name));
  checkSkips(matrix);
  return columns.flatMap(([column, columnVariables]) =>
    matrix.rows.map((row) => {
      const variables = { ...columnVariables, ...row.variables, row: row.name, column };
      const skip = matrix.skip.find(
        (rule) => rule.row === row.name && (rule.column ?? column) === column,
      );
      return { row: row.name, column, spec: cellSpec(spec, variables), skip: skip?.reason };
    }),
  );
}

function checkTwice(rows: readonly string[]): void {
  const twice = rows.find((name, index) => rows.indexOf(name) !== index);
  if (twice !== undefined) throw new MatrixError(`rows: ${twice} is there twice`);
}

function checkSkips(matrix: MatrixFile): void {
  const rows = matrix.rows.map((row) => row.name);
  const columns = Object.keys(matrix.columns);
  for (const { row, column } of matrix.skip) {
    if (!rows.includes(row)) throw new MatrixError(`skip: ${unknownName('row', row, rows)}`);
    if (column !== undefined && !columns.includes(column)) {
      throw new MatrixError(`skip: ${unknownName('column', column, columns)}`);
    }
  }
}

function cellSpec(spec: Spec, variables: Readonly<Record<string, string>>): Spec {
  try {
    return substitute(spec, variables);
  } catch (error) {
    if (!(error instanceof UnknownVariable)) throw error;
    throw new MatrixError(error.message, { cause: error });
  }
}
