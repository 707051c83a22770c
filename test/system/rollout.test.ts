import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { PoolView, RolloutView } from '../../src/protocol/api/resources.ts';
import { Pomona, kill, until } from './pomona.ts';

describe('a new image takes over a pool', () => {
  let pomona: Pomona;
  let up: Awaited<ReturnType<Pomona['up']>>;
  const rollout = async () => {
    const [found] = await pomona.json<RolloutView[]>(['rollout', 'list']);
    assert.ok(found);
    return found;
  };
  const imageNow = async () => {
    const pools = await pomona.json<PoolView[]>(['pool', 'list']);
    return pools.find(({ spec }) => spec.name === 'tools')?.image;
  };
  /** A job that fails on the broken image, and tells which it ran on. */
  const job = () =>
    pomona.run([
      'run',
      '--label',
      'tools',
      '--',
      'sh',
      '-c',
      'cat ~/version; ! grep -q broken ~/version',
    ]);

  before(async () => {
    pomona = await Pomona.make();
    for (const version of ['one', 'two', 'broken']) {
      const dir = join(pomona.data, version);
      await mkdir(join(dir, 'home'), { recursive: true });
      await writeFile(join(dir, 'home/version'), `${version}\n`);
      const imported = await pomona.run(['image', 'import', `tools:${version}`, dir]);
      assert.equal(imported.code, 0, imported.err);
    }
    const pool = '{ name: tools, labels: [tools], image: "tools:one", max: 2 }';
    await writeFile(join(pomona.data, 'pomona.yaml'), `pools:\n  - ${pool}\n`);
    up = await pomona.up();
  });
  after(async () => {
    await kill(up, 'SIGTERM');
    await pomona.remove();
  });

  test('one that fails goes back by itself, and no more jobs see it', async () => {
    const started = await pomona.run([
      'rollout',
      'start',
      'tools',
      'tools:broken',
      '--stages',
      '50',
    ]);
    assert.equal(
      started.out,
      'tools: 50 % of its new workers are made from tools:broken\n',
      started.err,
    );
    const again = await pomona.run(['rollout', 'start', 'tools', 'tools:two']);
    assert.match(again.err, /is being moved to tools:broken/);
    let jobs = 0;
    for (; (await rollout()).state === 'running'; jobs += 1) {
      assert.ok(jobs < 40, 'it does not go back');
      await job();
    }
    const { state, reason, new: next } = await rollout();
    assert.deepEqual([state, next.jobsFailed], ['back', next.jobs]);
    assert.match(reason ?? '', /jobs failed on the new image, on the old one 0 of/);
    assert.equal(await imageNow(), 'tools:one');
    await until('its workers are gone', async () => (await job()).out === 'one\n');
    for (let count = 0; count < 4; count += 1) assert.equal((await job()).out, 'one\n');
  });

  test('one that works takes over by stages', async () => {
    const args = ['rollout', 'start', 'tools', 'tools:two', '--stages', '25,50', '--jobs', '2'];
    assert.equal((await pomona.run(args)).code, 0);
    const shares = new Set<number>();
    for (let jobs = 0; (await rollout()).state === 'running'; jobs += 1) {
      assert.ok(jobs < 60, 'it does not take over');
      shares.add((await rollout()).share);
      assert.equal((await job()).code, 0);
    }
    assert.deepEqual([...shares], [25, 50]);
    assert.equal((await rollout()).state, 'done');
    assert.equal(await imageNow(), 'tools:two');
    await until('the old workers are gone', async () => (await job()).out === 'two\n');
    for (let count = 0; count < 3; count += 1) assert.equal((await job()).out, 'two\n');
  });

  test('a person pauses it, sends it back, lets it take over, and forgets it', async () => {
    const move = (how: string) => pomona.run(['rollout', how, 'tools']);
    assert.match((await move('back')).out, /made from tools:one again/);
    assert.equal(await imageNow(), 'tools:one');
    assert.match((await move('pause')).err, /is back/);
    assert.match((await move('resume')).out, /25 %/);
    assert.match((await move('pause')).out, /no more workers/);
    assert.match((await move('promote')).out, /all its new workers are made from tools:two/);
    assert.equal((await move('remove')).code, 0);
    assert.equal(await imageNow(), 'tools:one');
    assert.match((await move('back')).err, /has no roll-out/);
    assert.match(
      (await pomona.run(['rollout', 'start', 'none', 'tools:two'])).err,
      /there is no pool none/,
    );
    const nowhere = await pomona.run(['rollout', 'start', 'tools', 'tools:nowhere']);
    assert.match(nowhere.out, /No host has tools:nowhere yet/);
    assert.equal((await job()).out, 'one\n');
    await move('remove');
    const wrong = await pomona.run(['rollout', 'start', 'tools', 'tools:two', '--stages', '50,10']);
    assert.match(wrong.err, /ascending/);
  });
});
