/** Something with an owned name that belongs to nothing the fleet knows of. */
export interface Leak {
  /** What it is, for people: `VM of tart`, `clone in store btrfs`, `runner registration`. */
  readonly kind: string;
  readonly name: string;
  /** When it was first seen, by the clock of whoever saw it. */
  readonly since: number;
  /** Why it could not be removed. */
  readonly problem?: string;
}

/**
 * For so long a leak is only told of: whoever makes it may be about to say whose it is, and a person may
 * want to look.
 */
export const LEAK_GRACE_MS = 600_000;
