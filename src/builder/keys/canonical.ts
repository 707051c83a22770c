import { createHash } from 'node:crypto';

/** What keys are made of: bytes, text as UTF-8, and lists of such. */
export type Canonical = string | Uint8Array | readonly Canonical[];

/**
 * The lowercase hexadecimal SHA-256 of a value's one encoding: `<length in bytes>:<bytes>,` for
 * bytes and text, `<length>:<encoded items>]` for a list. No two values have the same.
 */
export function canonicalHash(value: Canonical): string {
  const hash = createHash('sha256');
  for (const part of encode(value)) hash.update(part);
  return hash.digest('hex');
}

function encode(value: Canonical): Uint8Array[] {
  if (typeof value === 'string') return encode(Buffer.from(value));
  if (value instanceof Uint8Array) return [Buffer.from(`${value.length}:`), value, COMMA];
  const items = value.flatMap(encode);
  const length = items.reduce((sum, item) => sum + item.length, 0);
  return [Buffer.from(`${length}:`), ...items, BRACKET];
}

const COMMA = Buffer.from(',');
const BRACKET = Buffer.from(']');
