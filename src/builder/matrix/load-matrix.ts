import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { LineCounter, isNode, parseDocument } from 'yaml';
import { parseSpec, type ParsedSpec } from '../spec/parse.ts';
import { SpecError } from '../spec/source.ts';
import { MatrixError } from './expand.ts';
import { matrixFileSchema, type MatrixFile } from './matrix-file.ts';

export interface LoadedMatrix {
  readonly matrix: MatrixFile;
  /** The spec of every cell, with its variables. */
  readonly parsed: ParsedSpec;
}

/** Reads a matrix and its spec. Throws `SpecError` or `MatrixError` with the place. */
export async function loadMatrix(file: string): Promise<LoadedMatrix> {
  const matrix = parseMatrix(await readText(file), file);
  const inline = /^\s*[(;#]|\n/.test(matrix.spec);
  if (inline) return { matrix, parsed: parseSpec(matrix.spec, `${file} (spec)`) };
  const specFile = resolve(dirname(file), matrix.spec);
  return { matrix, parsed: parseSpec(await readText(specFile), specFile) };
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new MatrixError(`${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

function parseMatrix(text: string, file: string): MatrixFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  const [error] = document.errors;
  if (error !== undefined) throw new SpecError(file, at(error.pos[0]), error.message);
  const parsed = matrixFileSchema.safeParse(document.toJS() ?? {});
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  if (issue === undefined) throw new MatrixError(`${file} is no matrix`);
  let offset = 0;
  for (let length = issue.path.length; length > 0; length -= 1) {
    const node = document.getIn(issue.path.slice(0, length), true);
    if (!isNode(node) || !node.range) continue;
    [offset] = node.range;
    break;
  }
  throw new SpecError(file, at(offset), `${issue.path.join('.')}: ${issue.message}`);
}
