import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { constants } from 'node:os';
import { pipeline } from 'node:stream/promises';
import type { JobOutcome, JobResult } from '../../domain/job.ts';
import { startCommand } from '../../platform/start-command.ts';
import type { SealedOrder } from '../worker-dir.ts';
import { BUILD_ORDER_VARIABLE } from '../builds/build-sandbox.ts';
import type { LogWriter } from './log-writer.ts';
import type { Place } from './place.ts';

/** Working directory of jobs, below the worker's home. */
export const WORK_DIR = 'work';

/** How long the output of a command that ended may take to be read to its end. */
const DRAIN_MS = 10_000;

export interface JobRun {
  readonly place: Place;
  readonly order: SealedOrder;
  readonly log: LogWriter;
  /** The job's source, where there is one. */
  readonly sourcePath: string;
  /** Aborted to end the command early; the reason is the outcome. */
  readonly stop: AbortSignal;
  /** Between asking the command to end and killing it. */
  readonly graceMs: number;
  /** Called when the command runs. */
  started(at: number): Promise<void>;
}

/**
 * Runs one job to its end and returns how it ended, once no process of it is left and its output
 * is in the log.
 */
export async function runJob(run: JobRun): Promise<Omit<JobResult, 'logBytes'>> {
  const { payload } = run.order;
  if (payload.source !== undefined) await unpackSource(run);
  if (run.stop.aborted) return { outcome: stopOutcome(run.stop), finishedAt: Date.now() };

  const launch = await run.place.launch({
    argv: payload.command,
    env: environmentOf(run.order),
    workDir: WORK_DIR,
  });
  const child = await startCommand(launch);
  const startedAt = Date.now();
  const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  const pumped = pump(child, run.log);
  // A log that cannot be written ends the job; the error is thrown below, where it is awaited.
  const brokenLog = new AbortController();
  pumped.catch(() => brokenLog.abort());
  await run.started(startedAt);

  const clock = AbortSignal.timeout(payload.timeoutMs);
  const why = AbortSignal.any([run.stop, clock, brokenLog.signal]);
  await Promise.race([ended, aborted(why)]);
  if (why.aborted) {
    await run.place.terminate();
    await Promise.race([ended, delay(run.graceMs)]);
  }
  await run.place.killAll();
  const [code, signal] = await ended;
  await Promise.race([pumped, delay(DRAIN_MS)]);
  return { ...(await resultOf(run, clock, code, signal)), startedAt, finishedAt: Date.now() };
}

/**
 * Of a build, data alone: the program that builds runs as the agent's own user, and variables such as
 * NODE_OPTIONS would be orders to it.
 */
function environmentOf({ payload, secretValues }: SealedOrder): Record<string, string> {
  if (payload.build === undefined) return { ...payload.env, ...secretValues };
  return { [BUILD_ORDER_VARIABLE]: JSON.stringify({ order: payload.build, secretValues }) };
}

async function resultOf(
  run: JobRun,
  clock: AbortSignal,
  code: number | null,
  signal: NodeJS.Signals | null,
): Promise<{ outcome: JobOutcome; exitCode?: number; reason?: string }> {
  if (run.stop.aborted) return { outcome: stopOutcome(run.stop) };
  if (clock.aborted) {
    const seconds = run.order.payload.timeoutMs / 1000;
    return { outcome: 'timed-out', reason: `it ran longer than its time-out of ${seconds} s` };
  }
  const exitCode = signal === null ? (code ?? 125) : 128 + constants.signals[signal];
  if (exitCode === 0) return { outcome: 'succeeded', exitCode };
  const killed = await run.place.killReason(signal);
  if (killed !== undefined) return { outcome: 'failed', exitCode, reason: `killed: ${killed}` };
  if (exitCode === 127) {
    const program = run.order.payload.command[0] ?? '';
    return { outcome: 'failed', exitCode, reason: `command not found: ${program}` };
  }
  return { outcome: 'failed', exitCode };
}

function stopOutcome(stop: AbortSignal): JobOutcome {
  return stop.reason === 'cancelled' ? 'cancelled' : 'lost';
}

/**
 * Makes the working directory, inside and as the job's user. Done before a worker counts as ready:
 * it shows that commands can run in it, and a job need not wait for it.
 */
export async function makeWorkDir(place: Place): Promise<void> {
  await inPlace(place, ['mkdir', '-p', WORK_DIR], '.');
}

/** The source is unpacked inside, as the job's own user: whatever it holds, it stays in there. */
async function unpackSource(run: JobRun): Promise<void> {
  await inPlace(run.place, ['tar', '-xzf', '-'], WORK_DIR, run.sourcePath);
}

async function inPlace(
  place: Place,
  argv: readonly string[],
  workDir: string,
  input?: string,
): Promise<void> {
  const launch = await place.launch({ argv, env: {}, workDir });
  const child = await startCommand(launch, input === undefined ? 'ignore' : 'pipe');
  const ended = once(child, 'exit') as Promise<[number | null]>;
  const printed = collect(child);
  if (input !== undefined && child.stdin !== null) {
    // A tar that stops reading says why by itself.
    await pipeline(createReadStream(input), child.stdin).catch(() => undefined);
  }
  const [code] = await ended;
  if (code !== 0) {
    throw new Error(
      `${argv[0]} in the worker failed (exit code ${code}): ${(await printed).trim()}`,
    );
  }
}

async function collect(child: ChildProcess): Promise<string> {
  const KEPT = 4096;
  let text = '';
  for await (const chunk of child.stdout ?? []) text = (text + String(chunk)).slice(-KEPT);
  return text;
}

async function pump(child: ChildProcess, log: LogWriter): Promise<void> {
  for await (const chunk of child.stdout ?? []) await log.write(chunk as Buffer);
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) =>
    signal.addEventListener('abort', () => resolve(), { once: true }),
  );
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
