import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { until } from '../../test/system/pomona.ts';
import type { HostTask } from '../domain/host-task.ts';
import { silentLogger } from '../platform/logger.ts';
import { VERSION } from '../platform/version.ts';
import { HostTasks, type HostTools } from './host-tasks.ts';

/** A host whose agent's processes come and go; `installed` is the file with the program's version. */
async function hostOf(t: TestContext, more: Partial<HostTools> = {}) {
  const dataDir = await mkdtemp(join(tmpdir(), 'pomona-tasks-'));
  const installed = join(dataDir, 'installed');
  await writeFile(installed, VERSION);
  const host = { restarts: 0, cleaned: 0, boot: 'boot-1' };
  const started: HostTasks[] = [];
  t.after(async () => {
    for (const tasks of started) await tasks.close();
    await rm(dataDir, { recursive: true });
  });
  const tools: HostTools = {
    restart: () => void (host.restarts += 1),
    installedVersion: async () => (await readFile(installed, 'utf8')).trim(),
    updateCommand: `echo $POMONA_VERSION > ${installed}`,
    ...more,
  };
  const start = async () => {
    const tasks = new HostTasks({
      ...{ dataDir, tools, log: silentLogger, bootId: async () => host.boot },
      clean: async () => void (host.cleaned += 1),
      changed: () => undefined,
    });
    started.push(tasks);
    await tasks.recover();
    return tasks;
  };
  return { host, start, dataDir, installed };
}

const task = (kind: HostTask['kind'], value?: string): HostTask => ({
  ...{ id: `t-${kind}`, kind },
  ...(value === undefined ? {} : { value }),
});

const ended = (tasks: HostTasks) =>
  until('the task ended', async () => tasks.observed?.state !== 'running', 10_000);

test('a task is done once, however often it is asked for', async (t) => {
  const { host, start } = await hostOf(t);
  const tasks = await start();
  tasks.want(task('clean'));
  tasks.want(task('clean'));
  await ended(tasks);
  tasks.want(task('clean'));
  assert.deepEqual([host.cleaned, tasks.observed], [1, { id: 't-clean', state: 'done' }]);
  tasks.want(undefined);
  assert.equal(tasks.observed, undefined, 'the controller knows');
});

test('the process that follows a restart says that it is done', async (t) => {
  const { host, start } = await hostOf(t);
  const before = await start();
  before.want(task('restart'));
  await until('it restarts', async () => host.restarts === 1);
  assert.equal(before.observed?.state, 'running');
  const tasks = await start();
  assert.deepEqual(tasks.observed, { id: 't-restart', state: 'done' });
  tasks.want(task('restart'));
  assert.equal(host.restarts, 1);
});

test('a reboot is done when the machine runs anew, not when the agent does', async (t) => {
  const { host, start, dataDir } = await hostOf(t, { rebootCommand: 'true' });
  const before = await start();
  before.want(task('reboot'));
  const began = () => readFile(join(dataDir, 'task.json'), 'utf8').catch(() => '');
  await until('it began', async () => (await began()).includes('boot-1'));
  await before.close();
  assert.equal((await start()).observed?.state, 'running');
  host.boot = 'boot-2';
  assert.equal((await start()).observed?.state, 'done');
});

test('what a host’s command says why it failed is told', async (t) => {
  const { start } = await hostOf(t, { rebootCommand: 'echo not allowed >&2; exit 3' });
  const tasks = await start();
  tasks.want(task('reboot'));
  await ended(tasks);
  assert.deepEqual(tasks.observed?.state, 'failed');
  assert.match(tasks.observed?.detail ?? '', /ended with 3: not allowed/);
});

test('what the host does not do when asked is refused', async (t) => {
  const { start } = await hostOf(t);
  const tasks = await start();
  assert.deepEqual(tasks.can, ['restart', 'clean', 'configure', 'update']);
  tasks.want(task('reimage'));
  await ended(tasks);
  assert.match(tasks.observed?.detail ?? '', /does not reimage when asked/);
});

test('settings are taken by the process that follows; what is none of them changes nothing', async (t) => {
  const { host, start, dataDir } = await hostOf(t);
  const before = await start();
  before.want(task('configure', '{"workers":3,"labels":["xcode-17"]}'));
  await until('it restarts', async () => host.restarts === 1);
  const settings = JSON.parse(await readFile(join(dataDir, 'settings.json'), 'utf8'));
  assert.deepEqual(settings, { workers: 3, labels: ['xcode-17'] });
  assert.equal((await start()).observed?.state, 'done');
  const tasks = await start();
  tasks.want({ id: 't-2', kind: 'configure', value: '{"worker":3}' });
  await ended(tasks);
  assert.match(tasks.observed?.detail ?? '', /Unrecognized key: "worker"/);
  assert.equal(host.restarts, 1);
});

test('another version is installed, and the process that follows has to be that version', async (t) => {
  const { host, start, installed } = await hostOf(t);
  const before = await start();
  before.want(task('update', '99.0.0'));
  await until('it restarts', async () => host.restarts === 1);
  assert.equal(await readFile(installed, 'utf8'), '99.0.0\n');
  // It did not come up, and whatever keeps the agent running started the version before.
  const tasks = await start();
  assert.match(tasks.observed?.detail ?? '', /version 99.0.0 did not stay/);
});

test('a version that is not there after its installation is gone back from', async (t) => {
  const { host, start, installed } = await hostOf(t, {
    updateCommand: 'echo "no such version" >&2; test "$POMONA_VERSION" != 99.0.0',
  });
  const tasks = await start();
  tasks.want(task('update', '99.0.0'));
  await ended(tasks);
  assert.match(tasks.observed?.detail ?? '', /no such version/);
  assert.deepEqual([host.restarts, await readFile(installed, 'utf8')], [0, VERSION]);
  tasks.want({ id: 't-2', kind: 'update', value: '1.0.0; reboot' });
  await ended(tasks);
  assert.match(tasks.observed?.detail ?? '', /is no version/);
});

test('a new version has proved itself once a controller takes it in, and else goes back', async (t) => {
  const { host, start, dataDir, installed } = await hostOf(t);
  const record = {
    ...{ id: 't-update', kind: 'update', state: 'running', boot: 'boot-1', value: VERSION },
    ...{ restarting: true, before: '0.0.1' },
  };
  await writeFile(join(dataDir, 'task.json'), JSON.stringify(record));
  const taken = await start();
  assert.equal(taken.observed?.state, 'running');
  await taken.welcomed();
  assert.equal(taken.observed?.state, 'done');
  await writeFile(join(dataDir, 'task.json'), JSON.stringify({ ...record, starts: 5 }));
  const failing = await start();
  await failing.close();
  assert.equal(host.restarts, 1);
  assert.equal(await readFile(installed, 'utf8'), '0.0.1\n');
});
