import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { LineCounter, isNode, parseDocument } from 'yaml';
import type { z } from 'zod';
import { parseSpec, type ParsedSpec } from './parse.ts';
import { SpecError } from './source.ts';

/** Thrown for a file that cannot be read at all. */
export class UnreadableFile extends Error {
  readonly code = 'unreadable_file';
}

/** Reads what a schema expects from YAML. Throws `SpecError` with the first place that is wrong. */
export function readYaml<Schema extends z.ZodType>(
  text: string,
  file: string,
  schema: Schema,
): z.output<Schema> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  const [error] = document.errors;
  if (error !== undefined) throw new SpecError(file, at(error.pos[0]), error.message);
  const parsed = schema.safeParse(document.toJS() ?? {});
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  if (issue === undefined) throw new SpecError(file, at(0), 'it is not what was expected');
  let offset = 0;
  for (let length = issue.path.length; length > 0; length -= 1) {
    const node = document.getIn(issue.path.slice(0, length), true);
    if (!isNode(node) || !node.range) continue;
    [offset] = node.range;
    break;
  }
  throw new SpecError(file, at(offset), `${issue.path.join('.')}: ${issue.message}`);
}

/** The spec that a YAML file has in it, or the file that it names, relative to it. */
export async function specOf(spec: string, file: string): Promise<ParsedSpec> {
  const inline = /^\s*[(;#]|\n/.test(spec);
  if (inline) return parseSpec(spec, `${file} (spec)`);
  const specFile = resolve(dirname(file), spec);
  return parseSpec(await readText(specFile), specFile);
}

export async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new UnreadableFile(`${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
}
