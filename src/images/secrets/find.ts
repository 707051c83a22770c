import { createHash } from 'node:crypto';
import { CONTENT_RULES } from './rules.ts';

/** A secret in some bytes. The secret itself is told nowhere. */
export interface SecretMatch {
  readonly rule: string;
  /** Where it begins in the bytes. */
  readonly at: number;
  readonly length: number;
  /** The same for the same secret, wherever it is: what may be allowed by name. */
  readonly id: string;
}

const ALL = new RegExp(
  CONTENT_RULES.map(({ name, pattern }) => `(?<${name.replaceAll('-', '_')}>${pattern})`).join('|'),
  'g',
);

/** What the rules find, in order. One expression: about a gigabyte a second. */
export function findSecrets(bytes: Buffer): SecretMatch[] {
  const found: SecretMatch[] = [];
  for (const { 0: text, index, groups } of bytes.toString('latin1').matchAll(ALL)) {
    const rule = CONTENT_RULES.find(
      ({ name }) => groups?.[name.replaceAll('-', '_')] !== undefined,
    );
    if (rule === undefined) continue;
    found.push({ rule: rule.name, at: index, length: text.length, id: findingId(rule.name, text) });
  }
  return found;
}

/** What a finding is called: its rule and a few digits of the digest of what was found. */
export function findingId(rule: string, found: string): string {
  const digest = createHash('sha256').update(found, 'latin1').digest('hex');
  return `${rule}-${digest.slice(0, 12)}`;
}
