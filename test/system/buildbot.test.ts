import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { JobView, WorkerView } from '../../src/protocol/api/resources.ts';
import { Buildbot, noBuildbot } from '../buildbot.ts';
import { findProcesses } from '../../src/platform/process-table.ts';
import { freePort, Pomona, kill, until } from './pomona.ts';

const [SUCCESS, EXCEPTION, RETRY] = [0, 4, 5];

describe('builds of a real Buildbot in fresh workers', { skip: noBuildbot() }, () => {
  let pomona: Pomona;
  let up: Awaited<ReturnType<Pomona['up']>>;
  let buildbot: Buildbot;
  const unfinished = async () =>
    (await pomona.json<JobView[]>(['job', 'list'])).filter(({ state }) => state !== 'finished');
  const ended = (builder: string) =>
    buildbot.builds().filter((each) => each.builder === builder && each.results !== null);
  const ENOUGH_MS = 120_000;
  const done = (builder: string, count: number) =>
    until(
      `${count} builds of ${builder} succeeded`,
      () =>
        Promise.resolve(
          ended(builder).filter(({ results }) => results === SUCCESS).length >= count,
        ),
      ENOUGH_MS,
    );
  const nothingLeft = () =>
    until('no job and no worker is left', async () => {
      const workers = await pomona.json<WorkerView[]>(['worker', 'list']);
      return (await unfinished()).length === 0 && workers.length === 0;
    });

  before(async () => {
    pomona = await Pomona.make();
    const pool = '{ name: builders, labels: [builds], max: 2 }';
    await writeFile(join(pomona.data, 'pomona.yaml'), `pools:\n  - ${pool}\n`);
    up = await pomona.up();
    const made = await pomona.run(['token', 'create', 'buildbot', '--role', 'submitter', '--json']);
    const { token } = JSON.parse(made.out) as { token: string };
    const tokenFile = join(pomona.data, 'buildbot.token');
    await writeFile(tokenFile, `${token}\n`, { mode: 0o600 });
    buildbot = await Buildbot.make(
      await freePort(),
      `
def worker(name, **more):
    options = dict(url='http://127.0.0.1:${pomona.port}', token_file=${JSON.stringify(tokenFile)},
        master=MASTER, labels=['builds'], twistd=TWISTD, missing_timeout=60)
    return PomonaLatentWorker(name, **{**options, **more})
def builder(name, script, workers):
    factory = util.BuildFactory([steps.ShellCommand(command=['sh', '-c', script])])
    return util.BuilderConfig(name=name, workernames=workers, factory=factory)
c['workers'] = [worker('mac-1'), worker('mac-2'), worker('mac-3', labels=['no-such-label'])]
c['builders'] = [
    builder('clean', 'test ! -e ~/dirty && touch ~/dirty && test -z "$BUILDBOT_PASSWORD"', ['mac-1']),
    builder('other', 'test ! -e ~/dirty && touch ~/dirty', ['mac-1', 'mac-2']),
    builder('long', 'sleep 6', ['mac-2']),
    builder('nowhere', 'true', ['mac-3']),
]`,
    );
    await buildbot.start();
  });
  after(async () => {
    await buildbot.remove();
    await kill(up, 'SIGTERM');
    await pomona.remove();
  });

  test('each build of several builders finds a machine that no build used', async () => {
    for (const builder of ['clean', 'other', 'clean', 'other', 'clean']) buildbot.request(builder);
    await done('clean', 3);
    await done('other', 2);
    assert.deepEqual(
      [...ended('clean'), ...ended('other')].filter(({ results }) => results !== SUCCESS),
      [],
    );
    await nothingLeft();
    const jobs = await pomona.json<JobView[]>(['job', 'list']);
    assert.equal(jobs.length, 5);
  });

  test('a build whose machine is lost is built again, in another', async () => {
    buildbot.request('long');
    await until('it is built', () =>
      Promise.resolve(buildbot.builds().some(({ builder }) => builder === 'long')),
    );
    await until('its machine runs', async () => {
      const jobs = await unfinished();
      return jobs.length === 1 && jobs[0]?.state === 'running';
    });
    const [job] = await unfinished();
    await pomona.run(['job', 'cancel', job?.id ?? '']);
    await done('long', 1);
    assert.deepEqual(
      ended('long').map(({ results }) => results),
      [RETRY, SUCCESS],
    );
    await nothingLeft();
  });

  test('a master that is killed and comes back builds what it was building, and leaves no machine', async () => {
    buildbot.request('long');
    await until('its machine runs', async () =>
      (await unfinished()).some(({ state }) => state === 'running'),
    );
    const [before] = await unfinished();
    await buildbot.stop('SIGKILL');
    await buildbot.start();
    await done('long', 2);
    await until('no request is left', () => Promise.resolve(buildbot.waiting() === 0));
    const old = await pomona.json<JobView>(['job', 'show', before?.id ?? '']);
    assert.equal(old.state, 'finished');
    await nothingLeft();
    assert.deepEqual(
      await findProcesses({ argument: 'buildbot.tac' }).then((pids) => pids.length),
      1,
    );
  });

  test('a build that no pool takes is told why', async () => {
    buildbot.request('nowhere');
    await until('it ended', () => Promise.resolve(ended('nowhere').length > 0));
    assert.equal(ended('nowhere')[0]?.results, EXCEPTION);
    assert.match(await buildbot.log(), /Pomona answered 4\d\d: .*no-such-label/);
    assert.deepEqual(await unfinished(), []);
  });

  test('a controller that restarts costs a delay, not a build', async () => {
    await kill(up, 'SIGKILL');
    buildbot.request('clean');
    up = await pomona.up();
    await done('clean', 4);
    assert.equal(ended('clean').length, 4);
    await nothingLeft();
  });
});
