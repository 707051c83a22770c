import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { SandboxError, type Sandbox, type SandboxSpec } from '../drivers/sandbox/sandbox.ts';
import { startCommand } from '../platform/start-command.ts';

/** Between asking a command to end and killing it. */
const GRACE_MS = 10_000;

/** Between asking whether an environment that only one can have is free. */
const BUSY_MS = 200;

/** How long the output of a command that ended may give nothing before it is given up. */
const DRAIN_MS = 10_000;

/** One command over the files of a step. */
export interface StepRequest {
  readonly spec: SandboxSpec;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly workDir: string;
  /**
   * Called with each piece of output, in order, one call at a time: the command waits for a slow
   * reader once the system's buffers are full. Throwing ends the command.
   */
  onOutput(chunk: Buffer): void | Promise<void>;
  /** Absent: as long as it takes. */
  readonly timeoutMs?: number;
  /** Between asking a command to end and killing it; 10 s unless told. */
  readonly graceMs?: number;
}

/** How a command ended; `reason`: why the system ended it, where that is known. */
export type StepEnd =
  | { readonly exitCode: number; readonly reason?: string }
  | { readonly signal: string; readonly reason?: string }
  | { readonly cancelled: true }
  | { readonly timedOut: true };

/**
 * Runs one command in a sandbox and returns how it ended, once no process and nothing else of it is
 * left outside the step's files. An abort before or during it is a cancel. Throws what the sandbox
 * or `onOutput` threw, also after everything was removed.
 */
export async function runStep(
  sandbox: Sandbox,
  request: StepRequest,
  signal: AbortSignal,
): Promise<StepEnd> {
  if (signal.aborted) return { cancelled: true };
  try {
    await prepareInTurn(sandbox, request.spec, signal);
    if (signal.aborted) return { cancelled: true };
    return await runCommand(sandbox, request, signal);
  } finally {
    await sandbox.destroy(request.spec);
  }
}

/** Where there can be one environment only, each waits for its turn. */
async function prepareInTurn(
  sandbox: Sandbox,
  spec: SandboxSpec,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      return await sandbox.prepare(spec);
    } catch (error) {
      if (!(error instanceof SandboxError && error.code === 'busy')) throw error;
    }
    await delay(BUSY_MS, undefined, { signal }).catch(() => undefined);
  }
}

async function runCommand(
  sandbox: Sandbox,
  request: StepRequest,
  signal: AbortSignal,
): Promise<StepEnd> {
  const { spec, argv, env, workDir, timeoutMs } = request;
  const child = await startCommand(await sandbox.launch(spec, { argv, env, workDir }));
  const ended = exitOf(child);
  const output = new Output(child, request);
  const clock = timeoutMs === undefined ? [] : [AbortSignal.timeout(timeoutMs)];
  const why = AbortSignal.any([signal, ...clock, output.broken]);
  await unlessAborted(ended, why);
  const stopped = why.aborted;
  if (stopped) {
    await sandbox.terminate(spec);
    await unlessAborted(ended, AbortSignal.timeout(request.graceMs ?? GRACE_MS));
  }
  await sandbox.killAll(spec);
  const { code, killedBy } = await ended;
  await output.end(signal);
  if (stopped && signal.aborted) return { cancelled: true };
  if (stopped && clock[0]?.aborted === true) return { timedOut: true };
  const killed = code === 0 ? undefined : await sandbox.killReason(spec);
  const reason = killed === undefined ? {} : { reason: killed };
  return killedBy === null ? { exitCode: code ?? 125, ...reason } : { signal: killedBy, ...reason };
}

async function exitOf(child: ChildProcess) {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return { code: child.exitCode, killedBy: child.signalCode };
}

/** Waits for either. */
async function unlessAborted(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const over = new AbortController();
  const aborted = once(signal, 'abort', { signal: over.signal }).catch(() => undefined);
  await Promise.race([work, aborted]).finally(() => over.abort());
}

/** Reads what a command prints, as fast as its reader takes it. */
class Output {
  readonly #child: ChildProcess;
  readonly #request: StepRequest;
  readonly #broken = new AbortController();
  readonly #pumped: Promise<void>;
  #reading = true;
  #givenUp = false;

  constructor(child: ChildProcess, request: StepRequest) {
    this.#child = child;
    this.#request = request;
    this.#pumped = this.#pump();
    this.#pumped.catch(() => this.#broken.abort());
  }

  /** Aborted when the output cannot be read or its reader threw; `end` throws why. */
  get broken(): AbortSignal {
    return this.#broken.signal;
  }

  async #pump(): Promise<void> {
    try {
      for await (const chunk of this.#child.stdout ?? []) {
        this.#reading = false;
        await this.#request.onOutput(chunk as Buffer);
        this.#reading = true;
      }
    } catch (error) {
      if (!this.#givenUp) throw error;
    }
  }

  /**
   * Waits until all output is read and taken. Gives up what does not come although every process
   * is gone, and after a cancel what its reader does not take.
   */
  async end(cancel: AbortSignal): Promise<void> {
    let over = false;
    const settled = this.#pumped.finally(() => (over = true));
    for (;;) {
      await unlessAborted(settled, AbortSignal.timeout(DRAIN_MS));
      if (over) return;
      if (this.#reading || cancel.aborted) break;
    }
    this.#givenUp = true;
    settled.catch(() => undefined);
    this.#child.stdout?.destroy();
  }
}
