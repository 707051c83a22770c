import type { BuildPlace } from './builds/build-sandbox.ts';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { SandboxSpec } from '../drivers/sandbox/sandbox.ts';
import type { Payload } from '../domain/job.ts';
import type { DesiredWorker } from '../domain/worker.ts';
import type { SshAccess } from '../platform/ssh/access.ts';

/**
 * The files of one worker on its host: `<agent data>/workers/<worker name>/`.
 *
 * They are the worker's durable state, shared by the agent and the worker's keeper. Each JSON file
 * is written once, whole (temporary name, then rename), and never changed, so the state can be
 * read off which of them exist, by any process, after any crash. Only for another job of the same worker
 * worker.json is written again, and then all that is of the job before is removed:
 *
 * | file           | written by | means                                                            |
 * |----------------|------------|------------------------------------------------------------------|
 * | worker.json    | agent      | the worker is ours to make: its spec. Before anything else of it |
 * | environment.json | agent    | the clone is complete: the sandbox's spec, or a VM's access       |
 * | keeper.json    | keeper     | ready: the keeper waits for an order                             |
 * | order.json     | agent      | handed over: from here on the command may have run               |
 * | started.json   | keeper     | the command runs                                                 |
 * | log            | keeper     | framed log, grows                                                |
 * | cancel.json    | agent      | the command is to be ended                                       |
 * | result.json    | keeper     | the command ended, no process of it is left, the log is complete |
 * | delivered.json | agent      | log and artifacts reached the controller; the final report       |
 * | destroy.json   | agent      | the worker is being removed; no keeper may start anything        |
 * | written.json   | agent      | the guest wrote all to its volumes and was shut down             |
 * | artifacts.json | agent      | globs of the files to bring back                                 |
 * | source.tgz     | agent      | the job's source, complete before order.json                     |
 */
export function workerPaths(dir: string) {
  return {
    dir,
    worker: join(dir, 'worker.json'),
    keeper: join(dir, 'keeper.json'),
    order: join(dir, 'order.json'),
    started: join(dir, 'started.json'),
    log: join(dir, 'log'),
    cancel: join(dir, 'cancel.json'),
    result: join(dir, 'result.json'),
    delivered: join(dir, 'delivered.json'),
    destroy: join(dir, 'destroy.json'),
    source: join(dir, 'source.tgz'),
    environment: join(dir, 'environment.json'),
    written: join(dir, 'written.json'),
    artifacts: join(dir, 'artifacts.json'),
    tmp: join(dir, 'tmp'),
  } as const;
}

/** Removes what is of a job that was delivered. */
export async function clearJob(paths: WorkerPaths): Promise<void> {
  const { order, started, log, cancel, result, source, artifacts, keeper, delivered } = paths;
  // That it was delivered is the last to be forgotten.
  for (const path of [order, started, log, cancel, result, source, artifacts, keeper, delivered]) {
    await rm(path, { force: true });
  }
}

export type WorkerPaths = ReturnType<typeof workerPaths>;

/** worker.json */
export interface WorkerRecord {
  readonly id: string;
  readonly name: string;
  readonly epoch: number;
  readonly spec: DesiredWorker['spec'];
  /** Wall-clock ms at which the agent heard of it first. */
  readonly since?: number;
  /** It is made ready for another job. Who finds that after a crash does not know how far it got. */
  readonly renewing?: boolean;
}

/** What the keeper process is started with, as JSON on its standard input. */
export interface KeeperOrders {
  readonly dir: string;
  /** Bytes of log kept at most. */
  readonly logBytes: number;
  readonly place: SandboxOrders | GuestOrders;
}

export interface SandboxOrders {
  readonly kind: 'sandbox';
  /** Driver name of the family `sandbox`. */
  readonly sandbox: string;
  readonly environment: SandboxSpec;
  /** With workers of the kind `build`. */
  readonly build?: BuildPlace;
}

export interface GuestOrders {
  readonly kind: 'guest';
  readonly access: SshAccess;
}

/** keeper.json */
export interface KeeperRecord {
  /** As `processIdentity` gives it. */
  readonly identity: string;
  readonly pid: number;
  /** X25519 public key (SPKI, base64): the order is sealed to it, so no secret lies on disk. */
  readonly publicKey: string;
}

/** order.json: who may run what. `sealed` holds a `SealedOrder` for the keeper's key. */
export interface OrderRecord {
  readonly jobId: string;
  readonly epoch: number;
  readonly sealed: string;
}

/** What is inside `OrderRecord.sealed`. */
export interface SealedOrder {
  readonly payload: Payload;
  readonly secretValues: Readonly<Record<string, string>>;
}

/** started.json */
export interface StartedRecord {
  /** Wall-clock milliseconds. */
  readonly startedAt: number;
}
