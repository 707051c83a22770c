import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { HostView } from '../../src/protocol/api/host-resources.ts';
import { integration, jobsOf, pomonaWith } from '../ci-fixture.ts';
import { FakeWeb } from '../fakes/web.ts';
import { until, type Pomona } from './pomona.ts';

const LISTENER = fileURLToPath(new URL('../fakes/listener/listener.sh', import.meta.url));
const TOKEN = 'a-token-of-listeners';

interface Task {
  readonly id: number;
  readonly seconds: number | 'die';
  starts: number;
  done: boolean;
}

describe('a listener with a token', () => {
  let web: FakeWeb;
  let pomona: Pomona;
  let dir: string;
  const tasks: Task[] = [];
  let closed = false;

  function add(seconds: Task['seconds'] = 1): Task {
    const task = { id: tasks.length + 1, seconds, starts: 0, done: false };
    tasks.push(task);
    return task;
  }
  const finished = (some: readonly Task[]) =>
    until('the tasks are done', async () => some.every(({ done }) => done), 60_000);

  before(async () => {
    web = await FakeWeb.start(async ({ path, headers }, gone) => {
      if (headers.authorization !== `Bearer ${TOKEN}`) return { status: 401 };
      const [, what, id] = path.split('/');
      if (what === 'done') {
        const task = tasks[Number(id) - 1];
        if (task !== undefined) task.done = true;
        return { status: 200 };
      }
      const deadline = Date.now() + 500;
      while (Date.now() < deadline && !gone.aborted) {
        const task = tasks.find(({ starts }) => starts === 0);
        if (task !== undefined && !closed) {
          task.starts += 1;
          return { status: 200, text: `${task.id} ${task.seconds}\n` };
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return { status: 204 };
    });
    dir = await mkdtemp(join(tmpdir(), 'pomona-listener-'));
    await mkdir(join(dir, 'home', 'bin'), { recursive: true });
    await cp(LISTENER, join(dir, 'home', 'bin', 'listener'));
    const common = {
      ...{ kind: 'listener', command: ['sh', '-c', 'exec ~/bin/listener "$0"', web.url] },
      ...{ lookEvery: '300ms', drain: '20s' },
    };
    pomona = await pomonaWith(
      {
        pools: [{ name: 'macs', labels: ['macs'], image: 'listener', max: 6 }],
        integrations: [
          {
            ...{ ...common, name: 'lines', tasks: 2, secrets: { LISTENER_TOKEN: 'TOKEN' } },
            ...{ busyWhen: '^Started task', idleWhen: '^Finished task' },
            routes: [{ pool: 'macs', standby: 2 }],
          },
        ],
      },
      { TOKEN },
    );
    const imported = await pomona.run(['image', 'import', 'listener', dir]);
    assert.equal(imported.code, 0, imported.err);
  });

  after(async () => {
    await pomona.remove();
    await web.close();
    await rm(dir, { recursive: true, force: true });
    assert.deepEqual(web.wrong, []);
  });

  /** Where listeners were given up, the next ones wait: 40 s after four of them. */
  const idle = (count: number) =>
    until(
      `${count} idle`,
      async () => {
        const { runners } = await integration(pomona, 'lines');
        return runners.idle === count && runners.busy + runners.leaving === 0;
      },
      120_000,
    );

  test('as many as are wanted listen', async () => {
    await idle(2);
    let log = '';
    await until('it registered', async () => {
      const ours = (await jobsOf(pomona)).find(({ state }) => state === 'running');
      if (ours === undefined) return false;
      log = (await pomona.run(['job', 'logs', ours.id])).out;
      return /^pomona-listener-\w+ idle 0\nWorker registered\n/m.test(log);
    });
    assert.doesNotMatch(log, /told too much/);
  });

  test('after its tasks a listener has its machine replaced', async () => {
    const some = Array.from({ length: 8 }, () => add());
    await finished(some);
    assert.ok(some.every(({ starts }) => starts === 1));
    await until('both are replaced', async () => {
      const jobs = await jobsOf(pomona);
      return jobs.filter(({ outcome }) => outcome === 'succeeded').length >= 2;
    });
    await idle(2);
  });

  test('one that dies is started again, and the second time its machine is given up', async () => {
    const before = (await jobsOf(pomona)).length;
    closed = true;
    const dead = [add('die'), add('die'), add('die'), add('die')];
    closed = false;
    await until('it was given up', async () => {
      const jobs = await jobsOf(pomona);
      return jobs.some(({ exitCode }) => exitCode === 70) && jobs.length > before;
    });
    assert.ok(dead.every(({ starts }) => starts === 1));
    const job = (await jobsOf(pomona)).find(({ exitCode }) => exitCode === 70);
    const log = await pomona.run(['job', 'logs', job?.id ?? '']);
    assert.match(log.out, /strike 1 of 2[\s\S]*strike 2 of 2/);
    await idle(2);
  });

  test('a host that drains lets listeners finish their tasks, and no more', async () => {
    const long = add(6);
    await until('it runs', async () => long.starts === 1);
    const [host] = await pomona.json<HostView[]>(['host', 'list']);
    await pomona.run(['host', 'drain', host?.name ?? '']);
    await finished([long]);
    await until('nothing is left', async () => {
      const jobs = await jobsOf(pomona);
      return jobs.every(({ state }) => state === 'finished' || state === 'queued');
    });
    await pomona.run(['host', 'resume', host?.name ?? '']);
    await idle(2);
  });

  test('a task goes on while the controller is away', async () => {
    const some = [add(5), add(5)];
    await until('they run', async () => some.every(({ starts }) => starts === 1));
    await pomona.killServers();
    await finished(some);
    await pomona.up();
    await idle(2);
    assert.ok(some.every(({ starts }) => starts === 1));
  });
});

describe('a listener that prints nothing', () => {
  test('says by a command whether it is busy, and has its token in a file that goes away', async () => {
    const tasks = [1];
    const done: string[] = [];
    const web = await FakeWeb.start(async ({ path, headers }) => {
      if (headers.authorization !== `Bearer ${TOKEN}`) return { status: 401 };
      if (path.startsWith('/done/')) done.push(path);
      else if (tasks.length > 0) return { status: 200, text: `${tasks.pop()} 6\n` };
      await new Promise((resolve) => setTimeout(resolve, 200));
      return { status: 204 };
    });
    const dir = await mkdtemp(join(tmpdir(), 'pomona-listener-'));
    await mkdir(join(dir, 'home', 'bin'), { recursive: true });
    await cp(LISTENER, join(dir, 'home', 'bin', 'listener'));
    const about = {
      ...{ name: 'quiet', kind: 'listener', lookEvery: '300ms' },
      command: ['sh', '-c', 'exec ~/bin/listener "$0" > /dev/null', web.url],
      ...{ busyCheck: ['test', '-e', 'busy'], secrets: { WORKER_TOKEN: 'TOKEN' } },
      files: [{ path: 'worker.yml', content: 'token: ${WORKER_TOKEN}\n' }],
      routes: [{ pool: 'macs', standby: 1 }],
    };
    const pools = [{ name: 'macs', labels: ['macs'], image: 'listener' }];
    const pomona = await pomonaWith({ pools, integrations: [about] }, { TOKEN });
    try {
      await pomona.run(['image', 'import', 'listener', dir]);
      await until('it was busy', async () => {
        const { runners } = await integration(pomona, 'quiet');
        return runners.busy === 1;
      });
      await until('it served', async () =>
        (await jobsOf(pomona)).some(({ outcome }) => outcome === 'succeeded'),
      );
      assert.deepEqual(done, ['/done/1']);
    } finally {
      await pomona.remove();
      await web.close();
      await rm(dir, { recursive: true, force: true });
    }
  });
});
