import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Writable } from 'node:stream';

/** What is needed to start a command (the part of a sandbox's `Launch` that matters here). */
interface Startable {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly uid?: number;
  readonly gid?: number;
  admit?(pid: number): Promise<void>;
  readonly handed?: string;
}

/**
 * Starts a command as the leader of a process group of its own, with its output on one pipe. A
 * command that waits to be admitted is first put under its limits, then let go. Throws when the
 * program cannot be started at all.
 *
 * What is handed over goes the same way, after the line.
 */
export async function startCommand(
  launch: Startable,
  stdin: 'ignore' | 'pipe' = 'ignore',
): Promise<ChildProcess & { pid: number }> {
  const gated = launch.admit !== undefined || launch.handed !== undefined;
  const child = spawn(launch.file, [...launch.args], {
    env: { ...launch.env },
    cwd: launch.cwd,
    detached: true,
    stdio: [stdin, 'pipe', 'ignore', gated ? 'pipe' : 'ignore'],
    ...(launch.uid === undefined ? {} : { uid: launch.uid }),
    ...(launch.gid === undefined ? {} : { gid: launch.gid }),
  });
  await once(child, 'spawn');
  const { pid } = child;
  if (pid === undefined) throw new Error(`${launch.file} has no pid`);
  if (gated) {
    const gate = child.stdio[3] as Writable;
    // A command killed while it waits leaves a gate that nobody reads: not an error of ours.
    gate.on('error', () => undefined);
    try {
      await launch.admit?.(pid);
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
    gate.end(`\n${launch.handed ?? ''}`);
  }
  return Object.assign(child, { pid });
}
