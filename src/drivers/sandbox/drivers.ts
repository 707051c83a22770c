import { bubblewrapDriver } from './bubblewrap.ts';
import { processDriver } from './process.ts';
import type { SandboxDriver } from './sandbox.ts';
import { userDriver } from './user.ts';

/** Every sandbox there is. */
export const SANDBOX_DRIVERS: Readonly<Record<string, SandboxDriver>> = {
  bubblewrap: bubblewrapDriver,
  process: processDriver,
  user: userDriver,
};
