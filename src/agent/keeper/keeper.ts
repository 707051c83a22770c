import { stat } from 'node:fs/promises';
import type { JobResult } from '../../domain/job.ts';
import { isMissing, readJson, writeJson } from '../../platform/atomic-file.ts';
import { processIdentity } from '../../platform/process-table.ts';
import { newSealKeys, openSealed } from '../../platform/seal.ts';
import { DirectoryWatch } from '../../platform/watch.ts';
import {
  workerPaths,
  type KeeperOrders,
  type KeeperRecord,
  type OrderRecord,
  type SealedOrder,
  type StartedRecord,
  type WorkerPaths,
} from '../worker-dir.ts';
import { LogWriter } from './log-writer.ts';
import { Masker, secretForms } from './mask.ts';
import type { Place } from './place.ts';
import { makeWorkDir, runJob } from './run-job.ts';

const POLL_MS = 2_000;
const GRACE_MS = 5_000;

/**
 * The life of a keeper, the process that stands by one worker: it says that it is ready,
 * waits for an order, runs it, writes the result, ends. It needs no agent meanwhile: both know the
 * worker by its files (see `worker-dir.ts`). It ends at once when the worker is being removed.
 */
export async function keepWorker(
  orders: KeeperOrders,
  place: Place,
  graceMs: number = GRACE_MS,
): Promise<void> {
  const paths = workerPaths(orders.dir);
  const { publicKey, privateKey } = newSealKeys();
  if (await isBeingRemoved(paths)) return;
  await makeWorkDir(place);
  const identity = await processIdentity(process.pid);
  if (identity === undefined) throw new Error('this process does not find itself');
  const record: KeeperRecord = { identity, pid: process.pid, publicKey };
  await writeJson(paths.keeper, record);

  const watch = new DirectoryWatch(paths.dir, POLL_MS, (name) => name.endsWith('.json'));
  try {
    const order = await nextOrder(paths, watch);
    if (order === undefined) return;
    const result = await carryOut(
      orders,
      place,
      paths,
      watch,
      graceMs,
      () => JSON.parse(openSealed(privateKey, order.sealed).toString('utf8')) as SealedOrder,
    );
    await writeJson(paths.result, result, { flush: true });
  } finally {
    watch.close();
  }
}

async function nextOrder(
  paths: WorkerPaths,
  watch: DirectoryWatch,
): Promise<OrderRecord | undefined> {
  for (;;) {
    await watch.next();
    if (await isBeingRemoved(paths)) return undefined;
    const order = await readJson<OrderRecord>(paths.order);
    if (order !== undefined) return order;
  }
}

async function carryOut(
  orders: KeeperOrders,
  place: Place,
  paths: WorkerPaths,
  watch: DirectoryWatch,
  graceMs: number,
  openOrder: () => SealedOrder,
): Promise<JobResult> {
  const stop = new AbortController();
  const told = () => stop.abort('the host ended it');
  process.on('SIGTERM', told);
  let log: LogWriter | undefined;
  let over = false;
  const listening = (async () => {
    while (!over && !stop.signal.aborted) {
      await watch.next();
      if ((await readJson(paths.cancel)) !== undefined) stop.abort('cancelled');
    }
  })();
  try {
    const order = openOrder();
    const masker = new Masker(secretForms(Object.values(order.secretValues)));
    log = await LogWriter.create(paths.log, masker, orders.logBytes);
    const result = await runJob({
      place,
      order,
      log,
      sourcePath: paths.source,
      stop: stop.signal,
      graceMs,
      started: async (startedAt) => writeJson(paths.started, { startedAt } satisfies StartedRecord),
    });
    if (result.reason !== undefined) await log.note(result.reason);
    await log.close();
    return { ...result, logBytes: log.bytes };
  } catch (error) {
    await place.killAll();
    await log?.close().catch(() => undefined);
    const reason = (error as Error).message;
    return { outcome: 'lost', reason, finishedAt: Date.now(), logBytes: log?.bytes ?? 0 };
  } finally {
    over = true;
    watch.poke();
    await listening;
    process.off('SIGTERM', told);
  }
}

async function isBeingRemoved(paths: WorkerPaths): Promise<boolean> {
  if ((await readJson(paths.destroy)) !== undefined) return true;
  try {
    await stat(paths.dir);
    return false;
  } catch (error) {
    if (isMissing(error)) return true;
    throw error;
  }
}
