import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { chown, open, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Launch } from '../../drivers/sandbox/sandbox.ts';

/** A command in a terminal of its own. */
export interface Terminal {
  onData(listener: (data: Buffer) => void): void;
  onEnd(listener: (reason: string) => void): void;
  write(data: Buffer): void;
  resize(cols: number, lines: number): void;
  pause(): void;
  resume(): void;
  end(): void;
}

const OPEN_EVERY_MS = 5;

/** Opens the file by which the command is admitted as its descriptor 3, and becomes the command. */
const ADMITTED = 'exec 3<"$0"; exec "$@"';

/**
 * Starts a command in a terminal. `dir`: where the pipe is for what it is handed. Throws when this
 * host cannot make terminals.
 */
export async function startTerminal(
  launch: Launch,
  dir: string,
  { id, cols, lines }: { readonly id: string; readonly cols: number; readonly lines: number },
): Promise<Terminal> {
  const pty = await import('@lydell/node-pty').catch((cause: unknown) => {
    throw new Error(`this host cannot make terminals: ${(cause as Error).message}`, { cause });
  });
  const { file, args, env, cwd, uid, gid } = launch;
  const gated = launch.admit !== undefined || launch.handed !== undefined;
  const pipe = gated ? join(dir, `${id}.pipe`) : undefined;
  if (pipe !== undefined) {
    await promisify(execFile)('mkfifo', ['-m', '600', pipe]);
    if (uid !== undefined && gid !== undefined) await chown(pipe, uid, gid);
  }
  const command =
    pipe === undefined ? [file, ...args] : ['/bin/sh', '-c', ADMITTED, pipe, file, ...args];
  const terminal = pty.spawn(command[0] ?? file, command.slice(1), {
    ...{ name: 'xterm-256color', cols, rows: lines, cwd, env: { ...env }, encoding: null },
    ...(uid === undefined || gid === undefined ? {} : { uid, gid }),
  });
  if (pipe !== undefined) {
    const ended = new AbortController();
    terminal.onExit(() => ended.abort());
    try {
      await admit(launch, pipe, terminal.pid, ended.signal);
    } finally {
      await rm(pipe, { force: true });
    }
  }
  return {
    // Without an encoding it gives bytes, whatever its types say.
    onData: (listener) => void terminal.onData((data) => listener(data as unknown as Buffer)),
    onEnd: (listener) =>
      void terminal.onExit(({ exitCode }) => listener(`the shell ended with ${exitCode}`)),
    write: (data) => terminal.write(data.toString('utf8')),
    resize: (to, rows) => terminal.resize(to, rows),
    pause: () => terminal.pause(),
    resume: () => terminal.resume(),
    end: () => hangUp(terminal.pid),
  };
}

/** Throws when the command ends before it has opened its end of the pipe. */
async function admit(launch: Launch, path: string, pid: number, ended: AbortSignal): Promise<void> {
  const pipe = await openOther(path, ended);
  try {
    await launch.admit?.(pid);
    await pipe.write('\n');
    if (launch.handed !== undefined) await pipe.write(launch.handed);
  } finally {
    await pipe.close();
  }
}

/** Waiting for the other end in the system itself could not be stopped. */
async function openOther(path: string, ended: AbortSignal): Promise<FileHandle> {
  for (;;) {
    try {
      return await open(path, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENXIO') throw error;
      if (ended.aborted) throw new Error('the shell ended at once', { cause: error });
    }
    await sleep(OPEN_EVERY_MS);
  }
}

/** What a terminal that is closed says to all that run in it; what is left goes with its leader. */
function hangUp(pid: number): void {
  for (const signal of ['SIGHUP', 'SIGKILL'] as const) {
    try {
      process.kill(-pid, signal);
    } catch {
      // It ended by itself.
      return;
    }
  }
}
