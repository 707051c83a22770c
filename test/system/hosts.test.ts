import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, describe, test } from 'node:test';
import { VERSION } from '../../src/platform/version.ts';
import type { JobView, WorkerView } from '../../src/protocol/api/resources.ts';
import type { HostRolloutView, HostView } from '../../src/protocol/api/host-resources.ts';
import { kill, Pomona, until } from './pomona.ts';

const NAMES = ['mac-1', 'mac-2', 'mac-3'];
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const NEXT = '99.0.0';

/** Two versions of the program beside each other, and a link to the one that is installed. */
async function installIn(dir: string): Promise<void> {
  for (const version of [VERSION, NEXT]) {
    const program = join(dir, version);
    await mkdir(program, { recursive: true });
    for (const part of ['bin', 'src'])
      await cp(join(ROOT, part), join(program, part), { recursive: true });
    await symlink(join(ROOT, 'node_modules'), join(program, 'node_modules'));
    const manifest = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'));
    await writeFile(join(program, 'package.json'), JSON.stringify({ ...manifest, version }));
  }
  await symlink(VERSION, join(dir, 'current'));
}

describe('what hosts do to themselves', () => {
  let pomona: Pomona;
  const agents: ChildProcess[] = [];
  const programs = () => join(pomona.data, 'programs');
  const hosts = () => pomona.json<HostView[]>(['host', 'list']);
  const all = async (what: string, is: (host: HostView) => boolean) =>
    until(what, async () => {
      const there = (await hosts()).filter(({ name }) => NAMES.includes(name));
      return there.length === NAMES.length && there.every(is);
    });
  const rollout = async (what: string) =>
    (await pomona.json<HostRolloutView[]>(['rollout', 'list'])).find((each) => each.what === what);

  before(async () => {
    pomona = await Pomona.make();
    await writeFile(
      join(pomona.data, 'pomona.yaml'),
      'pools:\n  - { name: default, sandbox: process, ready: 1 }\n' +
        '  - { name: again, sandbox: process, max: 1, idle: 1h, jobsPerWorker: 2 }\n',
    );
    const listen = `127.0.0.1:${pomona.port}`;
    await pomona.start(['serve', '--data', pomona.data, '--listen', listen]);
    const joinFile = join(pomona.data, 'join.token');
    await pomona.run(['token', 'join', '--uses', '3', '--output', joinFile]);
    for (const name of NAMES) {
      await installIn(join(programs(), name));
      const update = `test -d ${programs()}/${name}/$POMONA_VERSION || { echo no such version >&2; exit 1; }
        ln -sfn $POMONA_VERSION ${programs()}/${name}/current`;
      const args = [
        ...['agent', 'run', '--controller', `http://${listen}`, '--join-token-file', joinFile],
        ...['--name', name, '--data', join(pomona.data, name), '--workers', '2'],
        ...['--label', 'start', '--update-command', update, '--reboot-command', 'exit 5'],
      ];
      const { PATH = '', HOME = '' } = process.env;
      const env = { PATH, HOME, POMONA_DATA: pomona.data, POMONA_MARK: pomona.data };
      const program = join(programs(), name, 'current', 'bin', 'pomona');
      agents.push(spawn(program, args, { env, stdio: 'ignore' }));
    }
    await all('the hosts are there', ({ online }) => online);
  });
  after(async () => {
    for (const agent of agents) await kill(agent, 'SIGTERM');
    await pomona.remove();
  });

  test('an agent that restarts is the same process, and its job goes on', async () => {
    const running = (await pomona.run(['run', '--detach', '--', 'sleep', '4'])).out.trim();
    const job = () => pomona.json<JobView>(['job', 'show', running]);
    await until('the job runs', async () => (await job()).state === 'running');
    const { hostName = '' } = await job();
    const before = agents.map(({ pid }) => pid);
    assert.equal((await pomona.run(['host', 'restart', hostName])).code, 0);
    await until('it has restarted', async () => {
      const host = (await hosts()).find(({ name }) => name === hostName);
      return host?.task === undefined && host?.online === true;
    });
    await until('the job is over', async () => (await job()).state === 'finished');
    assert.equal((await job()).outcome, 'succeeded');
    assert.deepEqual(
      agents.map(({ pid, exitCode }) => (exitCode === null ? pid : 'ended')),
      before,
    );
  });

  test('a worker of a pool that says so runs a second job, and no third', async () => {
    const script = 'ls ..; ls; touch ../home-of-one left-in-work';
    const outs: string[] = [];
    for (let n = 0; n < 3; n += 1) {
      const ran = await pomona.run(['run', '--pool', 'again', '--', 'sh', '-c', script]);
      assert.equal(ran.code, 0, ran.err);
      outs.push(ran.out);
    }
    assert.deepEqual(outs, ['work\n', 'home-of-one\nwork\n', 'work\n']);
  });

  test('what was left on a host is removed when it cleans up, and what is not ours stays', async () => {
    const stores = join(pomona.data, 'mac-1', 'stores');
    const fleet = (await pomona.run(['leaks'])).out;
    assert.equal(fleet, 'Nothing was left behind\n');
    const workers = () => pomona.json<WorkerView[]>(['worker', 'list']);
    await until('there is a worker', async () => (await workers()).length > 0);
    const owned = (await workers())[0]?.name.replace(/w-.*/, '') ?? '';
    const [store = ''] = (await readdir(stores)).filter((name) => name !== '');
    const clones = join(stores, store, 'clones');
    await mkdir(join(clones, `${owned}w-lost`), { recursive: true });
    await mkdir(join(clones, 'pomona-000000-w-other'), { recursive: true });
    assert.equal((await pomona.run(['host', 'clean', 'mac-1'])).code, 0);
    await until('it is clean', async () => {
      const names = await readdir(clones);
      return !names.includes(`${owned}w-lost`) && names.includes('pomona-000000-w-other');
    });
  });

  test('a host says why it could not do what it was asked for, and takes jobs again', async () => {
    assert.equal((await pomona.run(['host', 'reboot', 'mac-2', '--within', '0s'])).code, 0);
    await until('it could not', async () => {
      const { out } = await pomona.run(['host', 'list']);
      return !out.includes('is to reboot');
    });
    const refused = await pomona.run(['host', 'reimage', 'mac-2']);
    assert.equal(refused.code, 1);
    assert.match(refused.err, /start its agent with --reimage-command/);
  });

  test('settings go through the hosts ring by ring, and back', async () => {
    const started = await pomona.run([
      ...['rollout', 'settings', 'start', '--workers', '1', '--label', 'set'],
      ...['--host-label', 'start', '--soak', '0s', '--rings', '30', '--within', '5s'],
    ]);
    assert.equal(started.code, 0, started.err);
    await all('all hosts have them', ({ labels, facts }) => {
      return labels.includes('set') && facts?.capacity.workers === 1;
    });
    assert.equal((await pomona.run(['rollout', 'settings', 'back'])).code, 0);
    await all('all hosts have what they were started with', ({ labels, facts }) => {
      return labels.includes('start') && facts?.capacity.workers === 2;
    });
  });

  test('an agent’s next version goes through the hosts; one that cannot be had goes back', async () => {
    const start = (version: string) =>
      pomona.run([
        ...['rollout', 'agent', 'start', version],
        ...['--soak', '0s', '--at-once', '1', '--within', '5s'],
      ]);
    assert.equal((await start(NEXT)).code, 0);
    await until('it is done', async () => (await rollout('agent'))?.state === 'done', 60_000);
    await all('all have the new one', ({ agentVersion }) => agentVersion === NEXT);
    const again = await start('1.0');
    assert.match(again.err, /expected a version such as 1.4.0/);
    assert.equal((await start('98.0.0')).code, 0);
    await until('it goes back', async () => (await rollout('agent'))?.state === 'back');
    const { out } = await pomona.run(['rollout', 'list']);
    assert.match(out, /1 of 1 hosts could not: .*no such version/);
    await all('all are as they were', ({ agentVersion }) => agentVersion === NEXT);
    const ran = await pomona.run(['run', '--', 'echo', 'still here']);
    assert.deepEqual([ran.code, ran.out], [0, 'still here\n'], ran.err);
  });
});
