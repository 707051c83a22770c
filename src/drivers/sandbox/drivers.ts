import { bubblewrapDriver } from './bubblewrap/bubblewrap.ts';
import { macosUserDriver, macosUsersDriver } from './macos-user/macos-user.ts';
import { processDriver } from './process.ts';
import { runcDriver } from './runc/runc.ts';
import type { SandboxDriver } from './sandbox.ts';
import { userDriver } from './user.ts';

/** Every sandbox there is. */
export const SANDBOX_DRIVERS: Readonly<Record<string, SandboxDriver>> = {
  bubblewrap: bubblewrapDriver,
  'macos-user': macosUserDriver,
  'macos-users': macosUsersDriver,
  process: processDriver,
  runc: runcDriver,
  user: userDriver,
};
