import { spawn } from 'node:child_process';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { JobOrder } from '../../domain/job.ts';
import { readJson, writeJson } from '../../platform/atomic-file.ts';
import {
  findProcesses,
  isAlive,
  processIdentity,
  signalProcess,
} from '../../platform/process-table.ts';
import { sealFor } from '../../platform/seal.ts';
import { compileCacheDir } from '../../platform/compile-cache.ts';
import { DirectoryWatch } from '../../platform/watch.ts';
import type {
  KeeperOrders,
  KeeperRecord,
  OrderRecord,
  SealedOrder,
  WorkerPaths,
} from '../worker-dir.ts';

const START_TIMEOUT_MS = 30_000;
const END_TIMEOUT_MS = 10_000;

/** The program that runs `keepWorker`: it takes the worker's directory as its last argument. */
export interface KeeperProgram {
  readonly file: string;
  readonly args: readonly string[];
}

/**
 * Starts the keeper of a worker as a process of its own, which outlives this one, and returns once
 * it is ready. Throws what the keeper said when it fails.
 */
export async function startKeeper(
  program: KeeperProgram,
  paths: WorkerPaths,
  orders: KeeperOrders,
  signal: AbortSignal,
): Promise<void> {
  const errorPath = join(paths.dir, 'keeper.err');
  const errors = await open(errorPath, 'w', 0o600);
  const watch = new DirectoryWatch(paths.dir, 100);
  try {
    const child = spawn(program.file, [...program.args, paths.dir], {
      detached: true,
      stdio: ['pipe', 'ignore', errors.fd],
      env: keeperEnvironment(),
      cwd: '/',
    });
    let failure: string | undefined;
    child.on('error', (error) => {
      failure = error.message;
      watch.poke();
    });
    child.on('exit', (code, killedBy) => {
      failure ??= `it ended with ${killedBy ?? `exit code ${code}`}`;
      watch.poke();
    });
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(JSON.stringify(orders));
    child.unref();
    const deadline = performance.now() + START_TIMEOUT_MS;
    while ((await readJson(paths.keeper)) === undefined) {
      signal.throwIfAborted();
      if (failure !== undefined || performance.now() > deadline) {
        const said = (await readFile(errorPath, 'utf8')).trim().slice(-2000);
        throw new Error(
          `the keeper did not start: ${failure ?? 'it took too long'} ${said}`.trim(),
        );
      }
      await watch.next();
    }
  } finally {
    watch.close();
    await errors.close();
  }
}

/** What sandboxes need of the agent's environment, and nothing that may be secret. */
function keeperEnvironment(): NodeJS.ProcessEnv {
  const { PATH, USER } = process.env;
  // Most of the time a keeper takes to start is the compiling of its program.
  return { PATH, USER, NODE_COMPILE_CACHE: compileCacheDir() };
}

/**
 * Hands a job over: from the moment order.json exists it may have run. The order is sealed to the
 * keeper's key. Handing over the same job again changes nothing; another one throws.
 */
export async function handOver(paths: WorkerPaths, order: JobOrder): Promise<void> {
  const before = await readJson<OrderRecord>(paths.order);
  if (before !== undefined) {
    if (before.jobId === order.jobId && before.epoch === order.epoch) return;
    throw new Error(`worker ${paths.dir} has job ${before.jobId} already`);
  }
  const keeper = await readJson<KeeperRecord>(paths.keeper);
  if (keeper === undefined) throw new Error(`worker ${paths.dir} is not ready for a job`);
  const { payload, secretValues } = order;
  const content = JSON.stringify({ payload, secretValues } satisfies SealedOrder);
  const record: OrderRecord = {
    jobId: order.jobId,
    epoch: order.epoch,
    sealed: sealFor(keeper.publicKey, Buffer.from(content)),
  };
  await writeJson(paths.order, record);
}

/** Asks the keeper to end its job. */
export function requestCancel(paths: WorkerPaths): Promise<void> {
  return writeJson(paths.cancel, {});
}

export async function keeperAlive(paths: WorkerPaths): Promise<boolean> {
  const keeper = await readJson<KeeperRecord>(paths.keeper);
  return keeper !== undefined && (await isAlive(keeper.identity));
}

/** Ends the keeper, also one that was just started and has not said so yet. Idempotent. */
export async function endKeeper(paths: WorkerPaths): Promise<void> {
  await writeJson(paths.destroy, {});
  const keeper = await readJson<KeeperRecord>(paths.keeper);
  const identities = keeper === undefined ? await unannounced(paths) : [keeper.identity];
  const deadline = performance.now() + END_TIMEOUT_MS;
  for (const identity of identities) {
    while (await signalProcess(identity, 'SIGKILL')) {
      if (performance.now() > deadline) throw new Error(`keeper ${identity} does not end`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }
}

/** Returns once the keeper of a job that was delivered is gone, which it is by itself. */
export async function keeperEnded(paths: WorkerPaths): Promise<void> {
  const deadline = performance.now() + END_TIMEOUT_MS;
  while (await keeperAlive(paths)) {
    if (performance.now() > deadline) throw new Error('the keeper of the job before does not end');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function unannounced(paths: WorkerPaths): Promise<string[]> {
  const pids = await findProcesses({ argument: paths.dir });
  const identities = await Promise.all(pids.map(processIdentity));
  return identities.filter((identity) => identity !== undefined);
}
