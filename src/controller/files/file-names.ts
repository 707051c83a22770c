/** Ids that become file names hold only what `newId` makes. Throws RangeError. */
export function checkId(id: string): string {
  if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(id)) {
    throw new RangeError(`${JSON.stringify(id)} cannot be part of a file name`);
  }
  return id;
}

/** Hand-overs are exact from 1. Throws RangeError. */
export function checkEpoch(epoch: number): number {
  if (!Number.isSafeInteger(epoch) || epoch < 1) {
    throw new RangeError(`${epoch} is no epoch: expected a whole number from 1`);
  }
  return epoch;
}

/** Spreads files over 1024 directories. Ids start alike and end in random letters. */
export function shardOf(id: string): string {
  return id.slice(-2).padStart(2, '0');
}
