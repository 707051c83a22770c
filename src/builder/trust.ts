/** Whose work a build is: `untrusted` for a stranger's, which trusted builds never use. */
export type Trust = 'trusted' | 'untrusted';

/** The id under which a step of that trust is kept. */
export function resultId(key: string, trust: Trust): string {
  return trust === 'trusted' ? key : `u-${key}`;
}
