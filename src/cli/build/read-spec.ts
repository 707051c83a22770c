import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { parseSpec, type ParsedSpec } from '../../builder/spec/parse.ts';
import { UsageError } from '../errors.ts';

/** Reads a spec; `-` is standard input. Throws `UsageError` and `SpecError`. */
export async function readSpec(file: string): Promise<ParsedSpec> {
  if (file === '-') return parseSpec(await text(process.stdin), 'standard input');
  let content: string;
  try {
    content = await readFile(file, 'utf8');
  } catch (cause) {
    throw new UsageError(`${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
  return parseSpec(content, file);
}
