import type { CiEvent, Trust } from './ci-job.ts';

/** What a fleet makes of code that strangers wrote. */
export interface TrustRules {
  /** What jobs of forks are: run apart (`untrusted`), as any other, or not at all. */
  readonly forks: Trust | 'refused';
  /** What they are once somebody approved them. */
  readonly approvedForks: Trust | 'refused';
  /** Authors whose forks are trusted. */
  readonly trustedAuthors: readonly string[];
  /** Where the CI system does not say what set a job off. */
  readonly unknown: Trust | 'refused';
}

export const DEFAULT_TRUST: TrustRules = {
  forks: 'untrusted',
  approvedForks: 'untrusted',
  trustedAuthors: [],
  unknown: 'untrusted',
};

/** How far a job's code is trusted, and why. */
export function trustOf(
  event: CiEvent,
  rules: TrustRules,
): { readonly trust: Trust | 'refused'; readonly reason: string } {
  if (event.fork) {
    const { author } = event;
    if (author !== undefined && rules.trustedAuthors.includes(author)) {
      return { trust: 'trusted', reason: `it is of a fork, and ${author} is a trusted author` };
    }
    if (event.approved === true) {
      return { trust: rules.approvedForks, reason: 'it is of a fork, and was approved' };
    }
    return { trust: rules.forks, reason: 'it is of a fork' };
  }
  if (event.name === 'unknown') {
    return { trust: rules.unknown, reason: 'the CI system does not say what set it off' };
  }
  return { trust: 'trusted', reason: `event ${event.name} of the repository itself` };
}
