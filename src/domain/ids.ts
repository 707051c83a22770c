import { randomBytes } from 'node:crypto';

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

/**
 * Makes a new id such as `j-01k9c3x5t2-7v4q9m`: a prefix that tells the kind, the time in
 * milliseconds (so ids of one kind sort by age) and 30 random bits. Ids hold only `[a-z0-9-]`, so
 * they are safe in file names, dataset names and user names.
 */
export function newId(prefix: string, nowMs: number, random: Uint8Array = randomBytes(6)): string {
  let time = '';
  for (let rest = nowMs; time.length < 10; rest = Math.floor(rest / 32)) {
    time = ALPHABET[rest % 32] + time;
  }
  let tail = '';
  for (const byte of random.subarray(0, 6)) tail += ALPHABET[byte % 32];
  return `${prefix}-${time}-${tail}`;
}

/** What the names of all that belongs to a fleet outside its database begin with. */
export function ownedPrefix(fleet: string): string {
  return `pomona-${fleet}-`;
}

/** What fleet, host, pool and agent names may look like. */
export const NAME_PATTERN = /^[a-z0-9][a-z0-9._-]{0,62}$/;
