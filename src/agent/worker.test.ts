import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import type { DesiredWorker, ObservedWorker, WorkerGoal } from '../domain/worker.ts';
import { silentLogger } from '../platform/logger.ts';
import { Controllers } from './controllers.ts';
import { ControllerClient } from './controller-client.ts';
import type { Look, WorkerRuntime } from './runtime.ts';
import { Worker } from './worker.ts';
import type { WorkerRecord } from './worker-dir.ts';

const SOURCE = Buffer.from('a source');
const source = `sha256:${createHash('sha256').update(SOURCE).digest('hex')}`;
const record: WorkerRecord = {
  ...{ id: 'w-1', name: 'pomona-f1-w-1', epoch: 1 },
  spec: {
    ...{ kind: 'sandbox', pool: 'p', sandbox: 's', store: 'c' },
    ...{ image: { name: 'empty', digest: 'sha256:0' }, limits: {} },
  },
};

/** A runtime in memory: what the worker's loop asked of it, and a look that the test decides. */
class Remembering implements WorkerRuntime {
  state: Look = { state: 'absent' };
  readonly calls: string[] = [];
  /** While set, making a worker waits for its signal. */
  slowMake = false;

  async make(_worker: WorkerRecord, _progress: unknown, signal: AbortSignal): Promise<void> {
    this.calls.push('make');
    this.state = { state: 'unfinished' };
    if (this.slowMake) await once(signal, 'abort');
    signal.throwIfAborted();
    this.state = { state: 'ready' };
  }
  async renew(): Promise<void> {
    this.calls.push('renew');
    this.state = { state: 'ready' };
  }
  async look(): Promise<Look> {
    return this.state;
  }
  async handOver(): Promise<void> {
    this.calls.push('handOver');
    this.state = { state: 'running', jobId: 'j-1', jobEpoch: 1, startedAt: 1 };
  }
  async cancel(): Promise<void> {
    this.calls.push('cancel');
  }
  async wayIn(): Promise<never> {
    throw new Error('nobody looks into it');
  }
  async destroy(): Promise<void> {
    this.calls.push('destroy');
    this.state = { state: 'absent' };
  }
  async workFiles(): Promise<undefined> {
    return undefined;
  }
  leftovers = async () => [];
}

let dir = '';
let server: Server;
let runtime: Remembering;
let worker: Worker | undefined;
/** Statuses to answer to requests for the source before it is given; `hang`: no answer. */
let sourceAnswers: (number | 'hang')[] = [];
let asked = 0;
let waiting: { until: (seen: ObservedWorker) => boolean; done: () => void } | undefined;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pomona-worker-'));
  runtime = new Remembering();
  asked = 0;
  sourceAnswers = [];
  server = createServer((_request, response) => {
    asked += 1;
    const answer = sourceAnswers.shift();
    if (answer === 'hang') return;
    response.writeHead(answer ?? 200).end(answer === undefined ? SOURCE : 'no');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(async () => {
  await worker?.close();
  server.closeAllConnections();
  server.close();
  await rm(dir, { recursive: true });
});

function wanted(goal: WorkerGoal): DesiredWorker {
  if (goal !== 'run') return { ...record, goal };
  const payload = {
    ...{ command: ['true'], env: {}, secrets: [], artifacts: [] },
    ...{ source, timeoutMs: 1_000 },
  };
  return { ...record, goal, order: { jobId: 'j-1', epoch: 1, payload, secretValues: {} } };
}

function start(of: WorkerRecord = record): Worker {
  const { port } = server.address() as AddressInfo;
  const parts = {
    runtime,
    client: new ControllerClient(new Controllers(`http://127.0.0.1:${port}`), 'credential'),
    log: silentLogger,
    dir: join(dir, record.name),
    changed: ({ observed }: Worker) => {
      if (waiting?.until(observed) === true) waiting.done();
    },
  };
  worker = new Worker(of, parts, wanted('ready'));
  return worker;
}

/** Returns once the worker is seen in this state. */
async function seen(state: ObservedWorker['state']): Promise<ObservedWorker> {
  const { promise, resolve } = Promise.withResolvers<void>();
  waiting = { until: (observed) => observed.state === state, done: resolve };
  if (worker?.observed.state !== state) await promise;
  return worker?.observed ?? assert.fail();
}

async function untilAsked(): Promise<void> {
  while (asked === 0) await once(server, 'request');
}

test('a job’s source that cannot be had at first is asked for again', async () => {
  sourceAnswers = [503, 500];
  start();
  await seen('ready');
  worker?.want(wanted('run'));
  await seen('running');
  assert.equal(asked, 3);
  assert.deepEqual(await readFile(join(dir, record.name, 'source.tgz')), SOURCE);
});

test('a source that is refused for good fails the worker before its job began', async () => {
  sourceAnswers = [404];
  start();
  await seen('ready');
  worker?.want(wanted('run'));
  const { jobId, reason } = await seen('failed');
  assert.equal(jobId, undefined);
  assert.match(reason ?? '', /source could not be brought/);
  assert.equal(asked, 1);
});

test('cancelling while the source is being fetched ends the wait, and the job never starts', async () => {
  sourceAnswers = ['hang'];
  start();
  await seen('ready');
  worker?.want(wanted('run'));
  await untilAsked();
  worker?.want(wanted('cancel'));
  assert.equal((await seen('failed')).reason, 'cancelled before its job started');
  worker?.want(undefined);
  await seen('destroyed');
  assert.deepEqual(runtime.calls, ['make', 'destroy']);
});

test('closing while the source is being fetched returns at once and leaves the worker be', async () => {
  sourceAnswers = ['hang'];
  start();
  await seen('ready');
  worker?.want(wanted('run'));
  await untilAsked();
  await worker?.close();
  assert.deepEqual(runtime.calls, ['make']);
});

test('a worker that is not wanted any more is not made to the end', async () => {
  runtime.slowMake = true;
  start();
  while (!runtime.calls.includes('make')) await new Promise(setImmediate);
  worker?.want(undefined);
  await seen('destroyed');
  assert.deepEqual(runtime.calls, ['make', 'destroy']);
});

test('a worker that is idle beyond its hard age ends itself, one with a job or younger does not', async () => {
  const hardAgeMs = 60_000;
  const since = 1_000_000;
  const aged = { ...record, since, spec: { ...record.spec, hardAgeMs } };
  start(aged);
  await seen('ready');
  worker?.endIfOld(since + hardAgeMs - 1);
  worker?.want(wanted('run'));
  worker?.endIfOld(since + hardAgeMs);
  await seen('running');
  worker?.endIfOld(since + hardAgeMs);
  assert.equal(worker?.observed.state, 'running');
  await worker.close();
  runtime = new Remembering();
  await rm(join(dir, record.name), { recursive: true });
  start(aged);
  await seen('ready');
  worker.endIfOld(since + hardAgeMs);
  await seen('destroyed');
  assert.deepEqual(runtime.calls, ['make', 'destroy']);
});

test('a worker whose job was delivered takes another in its next epoch', async () => {
  start();
  await seen('ready');
  worker?.want(wanted('run'));
  await seen('running');
  const result = { outcome: 'succeeded', finishedAt: 1, logBytes: 0 } as const;
  runtime.state = { state: 'delivered', jobId: 'j-1', jobEpoch: 1, result };
  worker?.want({ ...wanted('ready'), epoch: 2 });
  assert.equal((await seen('ready')).epoch, 2);
  assert.deepEqual(runtime.calls, ['make', 'handOver', 'renew']);
});

test('one that was interrupted while it was made ready for another job is given up', async () => {
  runtime.state = { state: 'delivered', jobId: 'j-1', jobEpoch: 1 };
  start({ ...record, epoch: 2, renewing: true });
  worker?.want({ ...wanted('ready'), epoch: 2 });
  const { epoch, reason } = await seen('failed');
  assert.equal(epoch, 2);
  assert.match(reason ?? '', /the agent restarted/);
});

test('one that cannot be used again says so in its new epoch', async () => {
  start();
  await seen('ready');
  runtime.state = { state: 'broken', reason: 'its VM died' };
  worker?.want({ ...wanted('ready'), epoch: 2 });
  const { epoch, reason } = await seen('failed');
  assert.deepEqual([epoch, reason], [2, 'it could not be used again']);
});
