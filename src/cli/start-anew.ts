import { promisify } from 'node:util';
import { execFile } from 'node:child_process';

const LOOK_MS = 60_000;

/** How this process was started: by `bin/pomona`, which says by what name, or by Node itself. */
function program(): readonly [file: string, ...args: string[]] {
  const called = process.env['POMONA_PROGRAM'];
  if (called !== undefined) return [called];
  return [process.execPath, ...process.execArgv, process.argv[1] ?? ''];
}

/**
 * Has this process be the program anew, as it is on the disk now, with the same pid: whatever keeps it
 * running, such as launchd, sees no end. What it has open must be closed before. Does not return.
 */
export function startAnew(): never {
  const [file, ...args] = program();
  if (process.execve === undefined) {
    throw new Error('this Node cannot start the agent anew; start it again by hand');
  }
  return process.execve(file, [file, ...args, ...process.argv.slice(2)], process.env);
}

/** Version of the program that `startAnew` would start. Throws when it does not start. */
export async function installedVersion(): Promise<string> {
  const [file, ...args] = program();
  const { stdout } = await promisify(execFile)(file, [...args, '--version'], { timeout: LOOK_MS });
  return stdout.trim();
}
