import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { chown, open, rm, type FileHandle } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Launch } from '../../drivers/sandbox/sandbox.ts';
import { entryPoint } from '../../platform/entry.ts';

/** A command in a terminal of its own. */
export interface Terminal {
  onData(listener: (data: Buffer) => void): void;
  /** Told once all that it said has been heard. */
  onEnd(listener: (reason: string) => void): void;
  write(data: Buffer): void;
  resize(cols: number, lines: number): void;
  pause(): void;
  resume(): void;
  end(): void;
}

/** What the process of a terminal is told. */
export type TerminalOrder =
  TerminalStart | { readonly type: 'size'; readonly cols: number; readonly lines: number };

export interface TerminalStart {
  readonly type: 'start';
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Record<string, string>;
  readonly cwd: string;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly cols: number;
  readonly lines: number;
}

/** What it answers. */
export type TerminalStarted =
  | { readonly type: 'started'; readonly pid: number }
  | { readonly type: 'failed'; readonly message: string };

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
  const { env, cwd, uid, gid } = launch;
  const gated = launch.admit !== undefined || launch.handed !== undefined;
  const pipe = gated ? join(dir, `${id}.pipe`) : undefined;
  if (pipe !== undefined) {
    await promisify(execFile)('mkfifo', ['-m', '600', pipe]);
    if (uid !== undefined && gid !== undefined) await chown(pipe, uid, gid);
  }
  const own = [launch.file, ...launch.args];
  const [file = '', ...args] = pipe === undefined ? own : ['/bin/sh', '-c', ADMITTED, pipe, ...own];
  const holder = new Holder();
  try {
    const start = { file, args, env: { ...env }, cwd, uid, gid, cols, lines };
    const pid = await holder.start({ type: 'start', ...start });
    if (pipe !== undefined) await admit(launch, pipe, pid, () => holder.hasEnded);
  } catch (error) {
    holder.end();
    throw error;
  } finally {
    if (pipe !== undefined) await rm(pipe, { force: true });
  }
  return holder;
}

/** The process that holds a terminal. */
class Holder implements Terminal {
  readonly #child;
  readonly #bytes: Socket;
  /** Where what it says waits until somebody listens: a socket of a child that ends does not. */
  readonly #said = new PassThrough();
  readonly #ended: Promise<string>;

  constructor() {
    const { file, args } = entryPoint('agent/consoles/terminal-process');
    this.#child = spawn(file, args, {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc', 'pipe'],
    });
    // Such as of a message to one that has just ended.
    this.#child.on('error', () => this.end());
    this.#bytes = this.#child.stdio[4] as Socket;
    this.#bytes.on('error', () => this.end()).pipe(this.#said);
    this.#bytes.once('close', () => this.#said.end());
    // Its event `close` does not always come to one that was disconnected.
    this.#ended = once(this.#child, 'exit').then(
      ([code]) => `the shell ended with ${code ?? 'its terminal'}`,
      (error: unknown) => (error as Error).message,
    );
  }

  /** Returns the pid of the command. */
  async start(order: TerminalStart): Promise<number> {
    this.#child.send(order);
    const answer = await Promise.race([once(this.#child, 'message'), this.#ended]);
    const started = typeof answer === 'string' ? undefined : (answer[0] as TerminalStarted);
    if (started?.type === 'started') return started.pid;
    throw new Error(`this host cannot make terminals: ${started?.message ?? String(answer)}`);
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  onData(listener: (data: Buffer) => void): void {
    this.#said.on('data', listener);
  }

  onEnd(listener: (reason: string) => void): void {
    this.#said.once('end', () => void this.#ended.then(listener));
  }

  write(data: Buffer): void {
    this.#bytes.write(data);
  }

  resize(cols: number, lines: number): void {
    if (this.#child.connected) this.#child.send({ type: 'size', cols, lines });
  }

  pause(): void {
    this.#said.pause();
  }

  resume(): void {
    this.#said.resume();
  }

  end(): void {
    if (this.#child.connected) this.#child.disconnect();
  }
}

/** Hands the command what it waits for, unless it has ended already: that is told as its end. */
async function admit(
  launch: Launch,
  path: string,
  pid: number,
  hasEnded: () => boolean,
): Promise<void> {
  const pipe = await openOther(path, hasEnded);
  try {
    if (pipe === undefined) return;
    await launch.admit?.(pid);
    await pipe.write('\n');
    if (launch.handed !== undefined) await pipe.write(launch.handed);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
  } finally {
    await pipe?.close();
  }
}

/** Waiting for the other end in the system itself could not be stopped. Undefined: it has ended. */
async function openOther(path: string, hasEnded: () => boolean): Promise<FileHandle | undefined> {
  while (!hasEnded()) {
    try {
      return await open(path, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENXIO') throw error;
    }
    await sleep(OPEN_EVERY_MS);
  }
  return undefined;
}
