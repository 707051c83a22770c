import { checkSpec } from './check.ts';
import { specFromSexp } from './from-sexp.ts';
import { specFromYaml } from './from-yaml.ts';
import type { Positions } from './source.ts';
import type { Spec } from './spec.ts';

export type SpecForm = 'sexp' | 'yaml';

export interface ParsedSpec {
  readonly spec: Spec;
  readonly positions: Positions;
  readonly form: SpecForm;
  /** As it was written. */
  readonly text: string;
}

/** An S-expression begins with a parenthesis or one of its comments; all else is YAML. */
export function formOf(text: string): SpecForm {
  return /^\uFEFF?(\s|;[^\n]*(\n|$))*(\(|#\||#;)/.test(text) ? 'sexp' : 'yaml';
}

/** Reads and checks a spec, told by its content. Throws `SpecError`, the first problem. */
export function parseSpec(text: string, file: string): ParsedSpec {
  const plain = text.replace(/^\uFEFF/, '');
  const form = formOf(plain);
  const parsed = form === 'sexp' ? specFromSexp(plain, file) : specFromYaml(plain, file);
  const [problem] = checkSpec(parsed.spec, parsed.positions);
  if (problem !== undefined) throw problem;
  return { ...parsed, form, text };
}
