import { randomBytes } from 'node:crypto';
import { isAlive, processIdentity } from '../../platform/process-table.ts';

/** Those of this process that are at work. */
const here = new Set<string>();

/** One builder at work on a store, as others on the same machine may know it. */
export interface Owner {
  readonly token: string;
  /** It works no more; what it holds is anyone's. */
  leave(): void;
}

/** Tokens are of no use after the process ended, however it ended. */
export async function newOwner(): Promise<Owner> {
  const identity = (await processIdentity(process.pid)) ?? String(process.pid);
  const token = `${identity}#${randomBytes(6).toString('hex')}`;
  here.add(token);
  return { token, leave: () => void here.delete(token) };
}

/** Is that owner still at work? */
export async function ownerIsAlive(token: string): Promise<boolean> {
  const identity = token.slice(0, token.lastIndexOf('#'));
  if (identity === (await processIdentity(process.pid))) return here.has(token);
  return isAlive(identity);
}
