import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { JobView, Why, WorkerView } from '../../src/protocol/api/resources.ts';
import type { HostView } from '../../src/protocol/api/host-resources.ts';
import { Pomona, kill, until } from './pomona.ts';

const CONFIG = `
pools:
  - { name: pretended, labels: [pretended], kind: vm, vm: synthetic, guest: linux, ready: 10 }
`;
const NAMES = ['load-1', 'load-2', 'load-3', 'load-4', 'load-5'];

describe('synthetic hosts', () => {
  let pomona: Pomona;
  let agent: ChildProcess | undefined;
  const joinFile = () => join(pomona.data, 'join.token');
  const agentArgs = (...more: string[]) => [
    ...['agent', 'run', '--controller', `http://127.0.0.1:${pomona.port}`],
    ...['--join-token-file', joinFile(), ...more],
  ];

  before(async () => {
    pomona = await Pomona.make();
    await writeFile(join(pomona.data, 'pomona.yaml'), CONFIG);
    const listen = `127.0.0.1:${pomona.port}`;
    await pomona.start(['serve', '--data', pomona.data, '--listen', listen]);
    await pomona.run(['token', 'join', '--uses', '6', '--output', joinFile()]);
  });
  after(async () => {
    if (agent !== undefined) await kill(agent, 'SIGTERM');
    await pomona.remove();
  });

  test('a real host makes no pretended workers, and says why', async () => {
    const real = await pomona.start(agentArgs('--name', 'real'));
    const queued = await pomona.run(['run', '--detach', '--pool', 'pretended', '--', 'true']);
    const id = queued.out.trim();
    await until('the host is seen', async () => {
      const why = await pomona.json<Why>(['job', 'why', id]);
      const reasons = why.pools.flatMap((pool) => pool.hosts.map((host) => host.reason));
      return reasons.some((reason) => /only agents started with --synthetic/.test(reason));
    });
    assert.deepEqual(await pomona.json<WorkerView[]>(['worker', 'list']), []);
    await pomona.run(['job', 'cancel', id]);
    real.kill('SIGTERM');
  });

  test('a wrong number of them is refused', async () => {
    const ran = await pomona.run(agentArgs('--name', 'load', '--synthetic', '0'));
    assert.equal(ran.code, 2);
    assert.match(ran.err, /--synthetic expects 1 to \d+ hosts, not 0/);
  });

  test('one process is five hosts, each with an identity and a directory of its own', async () => {
    agent = pomona.spawn(
      agentArgs('--name', 'load', '--synthetic', '5', '--data', join(pomona.data, 'load')),
    );
    let said = '';
    agent.stderr?.on('data', (chunk) => (said += String(chunk)));
    await until('all of them are online', async () => {
      const hosts = await pomona.json<HostView[]>(['host', 'list']);
      return NAMES.every((name) => hosts.some((host) => host.name === name && host.online));
    });
    assert.match(said, /SYNTHETIC: 5 pretended hosts; no command of any job runs here/);
    assert.deepEqual((await readdir(join(pomona.data, 'load'))).toSorted(), NAMES);
  });

  test('jobs on them end as pretended commands do', async () => {
    const ran = await pomona.run(['run', '--pool', 'pretended', '--', 'echo', 'not for real']);
    assert.deepEqual([ran.code, ran.out], [0, 'not for real\n'], ran.err);
    const failing = await pomona.run(['run', '--pool', 'pretended', '--', 'exit', '7']);
    assert.equal(failing.code, 7);
  });

  test('one of them is drained without the others', async () => {
    await pomona.run(['host', 'drain', 'load-1']);
    const onFirst = async () => {
      const workers = await pomona.json<WorkerView[]>(['worker', 'list']);
      return workers.filter((worker) => worker.hostName === 'load-1').length;
    };
    await until('its workers are gone', async () => (await onFirst()) === 0);
    for (let left = 8; left > 0; left -= 1) {
      assert.equal((await pomona.run(['run', '--pool', 'pretended', '--', 'true'])).code, 0);
    }
    const jobs = await pomona.json<JobView[]>(['job', 'list']);
    assert.ok(jobs.slice(0, 8).every((job) => job.hostName !== 'load-1'));
    assert.equal(await onFirst(), 0);
  });
});
