import { nearest } from '../../domain/nearest.ts';
import type { Op, Spec } from '../spec/spec.ts';
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

type Variables = Readonly<Record<string, string>>;

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
      return { row: row.name, column, spec: substitute(spec, variables), skip: skip?.reason };
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
    if (!rows.includes(row)) throw new MatrixError(`skip: ${unknown('row', row, rows)}`);
    if (column !== undefined && !columns.includes(column)) {
      throw new MatrixError(`skip: ${unknown('column', column, columns)}`);
    }
  }
}

function unknown(kind: string, name: string, known: readonly string[]): string {
  const near = nearest(name, known);
  const hint = near === undefined ? `known: ${known.join(', ')}` : `did you mean ${near}?`;
  return `there is no ${kind} ${name}; ${hint}`;
}

function substitute(spec: Spec, variables: Variables): Spec {
  const text = (template: string): string =>
    template.replaceAll(/\$\{\{\s*([^}]*?)\s*\}\}/g, (_whole, name: string) => {
      const value = variables[name];
      if (value !== undefined) return value;
      const known = Object.keys(variables);
      throw new MatrixError(`the spec uses \${{ ${name} }}: ${unknown('variable', name, known)}`);
    });
  const texts = (list: readonly string[]): string[] => list.map(text);
  return {
    from: text(spec.from),
    builds: spec.builds.map(({ name, spec: inner }) => ({
      name,
      spec: substitute(inner, variables),
    })),
    ops: spec.ops.map((op) => substituteOp(op, text, texts)),
  };
}

function substituteOp(
  op: Op,
  text: (template: string) => string,
  texts: (list: readonly string[]) => string[],
): Op {
  switch (op.op) {
    case 'comment':
      return { ...op, text: text(op.text) };
    case 'workdir':
      return { ...op, dir: text(op.dir) };
    case 'shell':
      return { ...op, argv: texts(op.argv) };
    case 'user':
      return 'name' in op.user ? { ...op, user: { name: text(op.user.name) } } : op;
    case 'env':
      return { ...op, name: text(op.name), value: text(op.value) };
    case 'run':
      return {
        ...op,
        shell: text(op.shell),
        network: texts(op.network),
        caches: op.caches.map((cache) => ({
          ...cache,
          id: text(cache.id),
          target: text(cache.target),
        })),
        secrets: op.secrets.map(({ id, target }) => ({ id: text(id), target: text(target) })),
      };
    case 'copy':
      return { ...op, src: texts(op.src), dst: text(op.dst), exclude: texts(op.exclude) };
  }
}
