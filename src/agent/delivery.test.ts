import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { appendFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import type { JobResult } from '../domain/job.ts';
import { readJson } from '../platform/atomic-file.ts';
import { silentLogger } from '../platform/logger.ts';
import { PROBLEMS, ProblemError, type ProblemCode } from '../protocol/problem.ts';
import { Controllers } from './controllers.ts';
import { ControllerClient } from './controller-client.ts';
import { Delivery } from './delivery.ts';
import { workerPaths, type WorkerPaths } from './worker-dir.ts';

/** Answers to come instead of the good one, first to last: a problem, or a bare status. */
type Trouble = ProblemCode | number | 'damage';

const job = { jobId: 'j-1', jobEpoch: 1 };

let dir = '';
let paths: WorkerPaths;
let server: Server;
let log = Buffer.alloc(0);
let artifacts = new Map<string, string>();
let logTrouble: Trouble[] = [];
let artifactTrouble = new Map<string, Trouble[]>();

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pomona-delivery-'));
  paths = workerPaths(dir);
  log = Buffer.alloc(0);
  artifacts = new Map();
  logTrouble = [];
  artifactTrouble = new Map();
  server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://controller');
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      const path = url.searchParams.get('path');
      const trouble = path === null ? logTrouble.shift() : artifactTrouble.get(path)?.shift();
      if (typeof trouble === 'number') return response.writeHead(trouble).end('out of order');
      if (trouble !== undefined && trouble !== 'damage') {
        const problem = new ProblemError(trouble, `told: ${trouble}`).toProblem();
        return response.writeHead(PROBLEMS[trouble].status).end(JSON.stringify(problem));
      }
      if (path === null) {
        const offset = Number(url.searchParams.get('offset'));
        assert.equal(offset, log.length);
        log = Buffer.concat([log, body]);
        return response.end('{}');
      }
      const kept = trouble === 'damage' ? Buffer.from('damaged') : body;
      artifacts.set(path, kept.toString());
      const sha256 = createHash('sha256').update(kept).digest('hex');
      return response.end(JSON.stringify({ sha256 }));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});

afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await rm(dir, { recursive: true });
});

function startDelivery(): Delivery {
  const { port } = server.address() as AddressInfo;
  const client = new ControllerClient(new Controllers(`http://127.0.0.1:${port}`), 'credential');
  return new Delivery(client, paths, job, silentLogger);
}

const resultOf = (logBytes: number): JobResult => ({
  outcome: 'succeeded',
  exitCode: 0,
  finishedAt: 1,
  logBytes,
});

/** Delivers a job whose log is `text`, and returns what delivered.json then says. */
async function deliver(
  text: string,
  { workDir, logBytes = text.length }: { workDir?: string; logBytes?: number } = {},
): Promise<JobResult | undefined> {
  await writeFile(paths.log, text);
  const delivery = startDelivery();
  const files = workDir === undefined ? undefined : { dir: workDir };
  await delivery.finish(resultOf(logBytes), files, ['**']);
  delivery.close();
  return readJson<JobResult>(paths.delivered);
}

async function workDirWith(files: Record<string, string>): Promise<string> {
  const work = join(dir, 'work');
  await mkdir(work);
  for (const [name, text] of Object.entries(files)) await writeFile(join(work, name), text);
  return work;
}

test('a log that grows is sent as it grows, then the artifacts, then the result is final', async () => {
  await writeFile(paths.log, 'one ');
  const delivery = startDelivery();
  while (log.length < 4) await new Promise((resolve) => setTimeout(resolve, 5));
  await appendFile(paths.log, 'two');
  await delivery.finish(resultOf(7), { dir: await workDirWith({ 'a.txt': 'A' }) }, ['*.txt']);
  delivery.close();
  assert.equal(log.toString(), 'one two');
  assert.deepEqual([...artifacts], [['a.txt', 'A']]);
  assert.deepEqual(await readJson(paths.delivered), resultOf(7));
});

test('what may pass is tried again: a busy, limited or failing controller, a proxy', async () => {
  logTrouble = [408, 429, 502, 'not_ready', 'disk_full', 'unauthenticated'];
  assert.deepEqual(await deliver('text'), resultOf(4));
  assert.equal(log.toString(), 'text');
});

test('a log that is refused for good is told with the result, and the artifacts still come', async () => {
  logTrouble = ['not_found'];
  const work = await workDirWith({ 'a.txt': 'A' });
  const delivered = await deliver('text', { workDir: work });
  assert.equal(delivered?.outcome, 'succeeded');
  assert.equal(delivered.reason, 'log incomplete: told: not_found');
  assert.equal(delivered.logBytes, 0);
  assert.deepEqual([...artifacts.keys()], ['a.txt']);
});

test('a log file that lost its end does not hold the result back', async () => {
  const delivered = await deliver('text', { logBytes: 10 });
  assert.equal(delivered?.reason, 'log incomplete: its file lost its last 6 bytes');
  assert.equal(delivered.logBytes, 4);
});

test('a job given to another worker since leaves no result here', async () => {
  logTrouble = ['stale_epoch'];
  assert.equal(await deliver('text'), undefined);
});

test('one refused artifact does not keep the others from coming', async () => {
  artifactTrouble = new Map([['b.txt', ['too_large']]]);
  const work = await workDirWith({ 'a.txt': 'A', 'b.txt': 'B', 'c.txt': 'C' });
  const delivered = await deliver('text', { workDir: work });
  assert.deepEqual([...artifacts.keys()], ['a.txt', 'c.txt']);
  assert.equal(delivered?.reason, 'artifacts not brought back: b.txt: told: too_large');
});

test('an artifact that arrives damaged is sent again', async () => {
  artifactTrouble = new Map([['a.txt', ['damage']]]);
  const delivered = await deliver('text', { workDir: await workDirWith({ 'a.txt': 'A' }) });
  assert.deepEqual([...artifacts], [['a.txt', 'A']]);
  assert.equal(delivered?.reason, undefined);
});

test('closing ends a delivery that does not get through, and nothing counts as delivered', async () => {
  logTrouble = Array<Trouble>(1_000).fill('not_ready');
  await writeFile(paths.log, 'text');
  const delivery = startDelivery();
  const finishing = delivery.finish(resultOf(4), undefined, []);
  delivery.close();
  await finishing;
  assert.equal(await readJson(paths.delivered), undefined);
});
