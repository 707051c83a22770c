import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Buildbot, noBuildbot } from '../buildbot.ts';
import { integration, jobsOf, pomonaWith, quiet } from '../ci-fixture.ts';
import { freePort, until, type Pomona } from './pomona.ts';

const [SUCCESS, RETRY] = [0, 5];

describe('a real Buildbot whose master knows nothing of Pomona', { skip: noBuildbot() }, () => {
  let pomona: Pomona;
  let buildbot: Buildbot;

  before(async () => {
    const [port, www] = [await freePort(), await freePort()];
    buildbot = await Buildbot.make(
      port,
      `
from buildbot.plugins import worker
def builder(name, script, workers):
    factory = util.BuildFactory([steps.ShellCommand(command=['sh', '-c', script])])
    return util.BuilderConfig(name=name, workernames=workers, factory=factory)
c['workers'] = [worker.Worker(name, 'of-workers', max_builds=1) for name in ['mac-1', 'mac-2', 'other']]
clean = 'test ! -e ~/dirty && touch ~/dirty && test -z "$BUILDBOT_PASSWORD"'
c['builders'] = [
    builder('clean', clean, ['mac-1', 'mac-2', 'other']),
    builder('second', clean, ['mac-1']),
    builder('long', 'sleep 6', ['mac-2']),
]`,
      www,
    );
    await buildbot.start();
    pomona = await pomonaWith(
      {
        pools: [
          { name: 'macs', labels: ['macos-15'], ready: 1, max: 4 },
          { name: 'strangers', labels: ['macos-15'], max: 2, trust: 'untrusted' },
        ],
        integrations: [
          {
            ...{ name: 'bb', kind: 'buildbot', url: `http://127.0.0.1:${www}` },
            ...{ master: `127.0.0.1:${port}`, twistd: '/usr/bin/twistd3', idle: '2s' },
            workers: [
              { names: ['mac-1', 'mac-2'], password: 'WORKER_PASSWORD', labels: ['macos-15'] },
            ],
          },
        ],
      },
      { WORKER_PASSWORD: 'of-workers' },
    );
  });

  after(async () => {
    await pomona.remove();
    await buildbot.remove();
  });

  const ended = (builder: string) =>
    buildbot.builds().filter((each) => each.builder === builder && each.results !== null);
  const done = (builder: string, count: number) =>
    until(
      `${count} builds of ${builder} succeeded`,
      async () => ended(builder).filter(({ results }) => results === SUCCESS).length >= count,
      90_000,
    );
  const clean = () => quiet(pomona, async () => buildbot.waiting() === 0);

  test('the check says that nothing is missing', async () => {
    const ran = await pomona.run(['ci', 'check', 'bb']);
    assert.equal(ran.code, 0, ran.out);
    assert.match(ran.out, /ok {3}workers: the master knows mac-1, mac-2/);
  });

  test('each build of several builders finds a machine that no build used', async () => {
    for (const builder of ['clean', 'second', 'clean', 'second', 'clean']) {
      buildbot.request(builder);
    }
    await done('clean', 3);
    await done('second', 2);
    await clean();
    const all = [...ended('clean'), ...ended('second')];
    assert.ok(all.every(({ results }) => results === SUCCESS));
    const runners = (await jobsOf(pomona)).filter(({ outcome }) => outcome === 'succeeded');
    assert.equal(runners.length, 5);
  });

  test("a change request's build has a machine of the pool for strangers", async () => {
    buildbot.request('second', 'refs/pull/7/merge');
    await done('second', 3);
    await clean();
    const [ours] = await jobsOf(pomona);
    assert.equal(ours?.pool, 'strangers');
  });

  test('a build whose machine is lost is built again, in another', async () => {
    buildbot.request('long');
    await until('it is built', async () =>
      buildbot.builds().some(({ builder }) => builder === 'long'),
    );
    const [ours] = await jobsOf(pomona);
    await pomona.run(['job', 'cancel', ours?.id ?? '']);
    await done('long', 1);
    await clean();
    assert.deepEqual(
      ended('long').map(({ results }) => results),
      [RETRY, SUCCESS],
    );
  });

  test('a master that restarts, and a controller that is killed, cost a delay', async () => {
    buildbot.request('long');
    await until('it is built', async () =>
      buildbot.builds().some(({ builder, results }) => builder === 'long' && results === null),
    );
    await buildbot.stop('SIGKILL');
    await pomona.killServers();
    await pomona.up();
    await buildbot.start();
    await done('long', 2);
    await clean();
    assert.equal((await integration(pomona, 'bb')).state, 'ok');
  });
});
