import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, suite, test } from 'node:test';
import { stringify } from 'yaml';
import type { ControllerView, JobView, WorkerView } from '../../src/protocol/api/resources.ts';
import { Way } from '../cut-off.ts';
import { openBlobs } from '../../src/drivers/blob/drivers.ts';
import { startS3, type S3Server } from '../s3-server.ts';
import { PostgresServer } from '../postgres.ts';
import { freePort, kill, Pomona, until } from './pomona.ts';

const CONTROLLERS = ['a', 'b', 'c'] as const;
type Name = (typeof CONTROLLERS)[number];
const AGENTS = ['one', 'two'] as const;
const READY = 2;

/** What a controller needs to go on after anything: its lease is free after 5 s, its agents try again. */
const GOES_ON_MS = 30_000;

suite('three controllers over PostgreSQL', () => {
  let postgres: PostgresServer;
  let pomona: Pomona;
  let s3: S3Server;
  let marks: string;
  let stopped = false;
  const ways = new Map<Name, Way>();
  const ports = new Map<Name, number>();
  const controllers = new Map<Name, ChildProcess>();
  const submitted = new Map<string, string>();

  const dataOf = (name: string) => join(pomona.data, name);
  const serve = async (name: Name) => {
    const args = ['--data', dataOf(name), '--listen', `127.0.0.1:${ports.get(name)}`];
    controllers.set(name, await pomona.start(['serve', ...args]));
  };
  /** Asks the controllers one after the other until one answers. */
  async function ask<T>(
    path: string,
    init: RequestInit = {},
    names: readonly Name[] = CONTROLLERS,
  ): Promise<T> {
    let failure: unknown;
    for (let tries = 0; tries < 60; tries += 1) {
      const name = names[tries % names.length] ?? 'a';
      const token = (await readFile(join(dataOf(name), 'admin.token'), 'utf8')).trim();
      const headers = new Headers(init.headers);
      headers.set('authorization', `Bearer ${token}`);
      try {
        const answer = await fetch(`http://127.0.0.1:${ports.get(name)}/api/v1${path}`, {
          ...{ ...init, headers, signal: AbortSignal.timeout(3_000) },
        });
        if (answer.ok) return (await answer.json()) as T;
        failure = await answer.text();
        if (answer.status < 500) break;
      } catch (error) {
        failure = error;
      }
      await sleep(200);
    }
    throw new Error(`${path}: ${String(failure)}`);
  }
  async function submit(title: string, seconds = 0.2): Promise<string> {
    const script = `echo begin ${title} >> ${marks}; sleep ${seconds}; echo end ${title} >> ${marks}`;
    const headers = { 'content-type': 'application/json', 'idempotency-key': randomUUID() };
    const body = JSON.stringify({ command: ['sh', '-c', script], title });
    const { id } = await ask<JobView>('/jobs', { method: 'POST', headers, body });
    submitted.set(id, title);
    return id;
  }
  async function finished(id: string, ms = GOES_ON_MS): Promise<void> {
    await until(
      `job ${id} is over`,
      async () => {
        const job = await ask<JobView>(`/jobs/${id}`);
        if (job.state !== 'finished') return false;
        assert.equal(job.outcome, 'succeeded', job.reason ?? '');
        return true;
      },
      ms,
    );
  }
  /** Who decides now. */
  async function holder(): Promise<Name> {
    const { items } = await ask<{ items: ControllerView[] }>('/controllers');
    const found = items.find(({ leases }) => leases.includes('scheduling'));
    return (found?.name ?? assert.fail('nobody decides')) as Name;
  }

  before(async () => {
    postgres = await PostgresServer.start(await freePort());
    const url = new URL(await postgres.database());
    s3 = await startS3();
    const { AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '' } = process.env;
    pomona = await Pomona.make({ env: { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } });
    marks = join(pomona.data, 'marks');
    await writeFile(marks, '');
    const key = join(pomona.data, 'secrets.key');
    await writeFile(key, Buffer.alloc(32, 7).toString('base64'), { mode: 0o600 });
    for (const name of CONTROLLERS) {
      const way = await Way.to(postgres.port);
      ways.set(name, way);
      ports.set(name, await freePort());
      url.port = String(way.port);
      await mkdir(dataOf(name));
      await writeFile(
        join(dataOf(name), 'pomona.yaml'),
        stringify({
          ...{ database: url.toString(), files: s3.location('ci'), secretsKey: key, name },
          pools: [{ name: 'default', sandbox: 'process', ready: READY, max: 20 }],
          limits: { hostLostAfter: '60s' },
        }),
      );
    }
    await Promise.all(CONTROLLERS.map(serve));
    const urls = [...ports.values()].map((port) => `http://127.0.0.1:${port}`);
    for (const [at, agent] of AGENTS.entries()) {
      const data = dataOf(CONTROLLERS[0]);
      const join1 = join(pomona.data, `${agent}.join`);
      const made = await pomona.run(['token', 'join', '--data', data, '--output', join1]);
      assert.equal(made.code, 0, made.err);
      await pomona.start([
        ...['agent', 'run', '--name', agent, '--data', dataOf(agent), '--workers', '4'],
        ...['--controller', [...urls.slice(at), ...urls.slice(0, at)].join(',')],
        ...['--join-token-file', join1],
      ]);
    }
  });
  after(async () => {
    for (const child of controllers.values()) if (stopped) child.kill('SIGCONT');
    await pomona.remove();
    for (const way of ways.values()) way.close();
    await postgres.remove();
    await s3.close();
  });

  test('a job goes from any controller to agents of any, and its log to whoever asks', async () => {
    for (const name of CONTROLLERS) {
      const ran = await pomona.run(['run', '--data', dataOf(name), '--', 'echo', `by ${name}`]);
      assert.deepEqual([ran.code, ran.out], [0, `by ${name}\n`], ran.err);
    }
  });

  test('source and artifacts go through the bucket, and are had from any controller', async () => {
    const source = join(pomona.data, 'source');
    await mkdir(source);
    await writeFile(join(source, 'input'), 'made of this\n');
    for (const name of CONTROLLERS) {
      const into = join(pomona.data, `into-${name}`);
      const ran = await pomona.run([
        ...['run', '--data', dataOf(name), '--source', source, '--artifact', 'out/*'],
        ...['--output', into, '--', 'sh', '-c', 'mkdir out; cat input input > out/twice'],
      ]);
      assert.equal(ran.code, 0, ran.err);
      assert.equal(await readFile(join(into, 'out', 'twice'), 'utf8'), 'made of this\n'.repeat(2));
    }
    const bucket = await openBlobs(s3.location('ci'));
    const kinds = async () => {
      const found = new Set<string>();
      for await (const { key } of bucket.list('')) found.add(key.split('/')[0] ?? '');
      return [...found].toSorted();
    };
    await until('logs are there, too', async () => (await kinds()).includes('logs'));
    assert.deepEqual(await kinds(), ['artifacts', 'logs', 'pomona', 'sources']);
    bucket.close();
  });

  test('two of them die in turn, and jobs go on', async (t) => {
    for (const dead of ['a', 'b'] as const) {
      const running = await submit(`running-${dead}`, 3);
      await until(
        'it runs',
        async () => (await ask<JobView>(`/jobs/${running}`)).state === 'running',
      );
      await kill(controllers.get(dead) ?? assert.fail(), 'SIGKILL');
      const from = performance.now();
      const next = await submit(`after-${dead}`);
      await finished(next);
      t.diagnostic(`a job went on ${Math.round(performance.now() - from)} ms after ${dead} died`);
      await finished(running);
    }
    for (const dead of ['a', 'b'] as const) await serve(dead);
  });

  test('one that is cut off from the database does no harm', async (t) => {
    const off = await holder();
    const running = await submit('running-cut', 3);
    ways.get(off)?.cut();
    const from = performance.now();
    const others = CONTROLLERS.filter((name) => name !== off);
    await until('another decides', async () => {
      const { items } = await ask<{ items: ControllerView[] }>('/controllers', {}, others);
      return items.some(({ name, leases }) => name !== off && leases.includes('scheduling'));
    });
    const next = await submit('after-cut');
    await finished(next);
    t.diagnostic(`a job went on ${Math.round(performance.now() - from)} ms after the cut`);
    await finished(running);
    ways.get(off)?.mend();
    await until('it is back', async () => {
      const { items } = await ask<{ items: ControllerView[] }>('/controllers');
      return items.some(({ name }) => name === off);
    });
  });

  test('one that stands still beyond its leases changes nothing when it goes on', async (t) => {
    const still = await holder();
    const child = controllers.get(still) ?? assert.fail();
    const running = await submit('running-still', 3);
    child.kill('SIGSTOP');
    stopped = true;
    const from = performance.now();
    const jobs = await Promise.all([1, 2, 3].map((n) => submit(`while-still-${n}`)));
    for (const id of jobs) await finished(id);
    t.diagnostic(`jobs went on ${Math.round(performance.now() - from)} ms after it stood still`);
    child.kill('SIGCONT');
    stopped = false;
    await finished(running);
    assert.notEqual(await holder(), still);
    await finished(await submit('after-still'));
  });

  test('PostgreSQL restarts, and jobs go on', async (t) => {
    const running = await submit('running-restart', 3);
    await postgres.restart();
    const from = performance.now();
    await finished(await submit('after-restart'));
    t.diagnostic(`a job went on ${Math.round(performance.now() - from)} ms after the restart`);
    await finished(running);
  });

  test('every job ran once, and no worker is left over', async () => {
    const { items } = await ask<{ items: JobView[] }>('/jobs?limit=1000');
    for (const [id, title] of submitted) {
      assert.equal(items.find((job) => job.id === id)?.outcome, 'succeeded', title);
    }
    const lines = (await readFile(marks, 'utf8')).trim().split('\n').toSorted();
    const titles = [...submitted.values()];
    const expected = titles.flatMap((title) => [`begin ${title}`, `end ${title}`]);
    assert.deepEqual(lines, expected.toSorted());
    await until('only the warm workers are left', async () => {
      const { items: workers } = await ask<{ items: WorkerView[] }>('/workers');
      return workers.length === READY && workers.every(({ state }) => state === 'ready');
    });
    const dirs = (await Promise.all(AGENTS.map((name) => pomona.keeperDirs(name)))).flat();
    assert.equal(dirs.length, READY);
  });
});
