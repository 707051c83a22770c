import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { WorkerView } from '../../src/protocol/api/resources.ts';
import { Pomona, until } from './pomona.ts';

describe('images that hosts bring by themselves', () => {
  let pomona: Pomona;
  let dir = '';
  const remote = () => `file://${join(dir, 'remote')}`;

  /** Publishes the image `tools` with this content, as another host would. */
  async function publish(content: string): Promise<void> {
    const source = await mkdtemp(join(dir, 'source-'));
    await mkdir(join(source, 'home'));
    await writeFile(join(source, 'home/version'), content);
    const elsewhere = ['--agent-data', join(dir, 'elsewhere')];
    for (const args of [
      ['image', 'import', 'tools', source],
      ['image', 'push', 'tools', remote()],
    ]) {
      const ran = await pomona.run([...args, ...elsewhere]);
      assert.equal(ran.code, 0, ran.err);
    }
  }
  async function apply(pool: string): Promise<void> {
    await writeFile(join(dir, 'pool.yaml'), pool);
    const applied = await pomona.run(['pool', 'apply', '-f', join(dir, 'pool.yaml')]);
    assert.equal(applied.code, 0, applied.err);
  }
  const POOL = 'name: p\nlabels: [p]\nimage: tools\nready: 1\nmax: 2\n';

  before(async () => {
    pomona = await Pomona.make();
    dir = await mkdtemp(join(tmpdir(), 'pomona-prefetch-'));
    const agent = `{ imageRemote: '${remote()}', imageRate: 100MiB, imageBudget: 1GiB }`;
    await writeFile(join(pomona.data, 'pomona.yaml'), `pools: []\nagent: ${agent}\n`);
    await mkdir(join(dir, 'remote'));
    await pomona.up();
  });
  after(async () => {
    await pomona.remove();
    await rm(dir, { recursive: true });
  });

  test('a job whose image the remote does not have is told so', async () => {
    await apply(POOL.replace('ready: 1', 'ready: 0'));
    const queued = await pomona.run(['run', '--detach', '--label', 'p', '--', 'cat', '../version']);
    const id = queued.out.trim();
    await until('it is told', async () => {
      const { out } = await pomona.run(['job', 'why', id]);
      return /has no image tools; bringing it failed: the remote has none of that name/.test(out);
    });
    await pomona.run(['job', 'cancel', id]);
  });

  test('the image of a pool is brought before anyone asks, and its workers are made of it', async () => {
    await publish('one\n');
    await pomona.run(['pool', 'remove', 'p']);
    await apply(POOL);
    const ready = async () => {
      const workers = await pomona.json<WorkerView[]>(['worker', 'list']);
      return workers.some(({ state }) => state === 'ready');
    };
    await until('a worker waits', ready);
    const ran = await pomona.run(['run', '--label', 'p', '--', 'cat', '../version']);
    assert.deepEqual([ran.code, ran.out], [0, 'one\n'], ran.err);
  });

  test('new content is brought in place of the old, and what waits is made anew', async () => {
    await publish('two\n');
    // As the agent does each minute.
    const synced = await pomona.run(['image', 'sync', remote(), 'tools', '--data', pomona.data]);
    assert.match(synced.out, /tools:latest was brought/);
    await until('jobs see it', async () => {
      const ran = await pomona.run(['run', '--label', 'p', '--', 'cat', '../version']);
      return ran.out === 'two\n';
    });
  });

  test('an image that no pool needs any more makes room, one that is needed stays', async () => {
    const sync = ['image', 'sync', remote(), 'tools', '--data', pomona.data];
    const within = await pomona.run([...sync, '--budget', '1B']);
    assert.equal(within.code, 0, within.err);
    const [tools] = await pomona.json<{ digest: string }[]>(['image', 'list']);
    const content = join(pomona.data, 'agent/images/content');
    assert(existsSync(join(content, tools?.digest.replace('sha256:', '') ?? 'none')));
  });

  test('what is asked wrongly is told', async () => {
    const bad = await pomona.run(['image', 'sync', remote(), 'tools', '--rate', 'fast']);
    assert.equal(bad.code, 2);
    assert.match(bad.err, /expected a size such as 50MiB or 200GiB, not fast/);
    const name = await pomona.run(['image', 'sync', 's3://nowhere/x', 'Odd!']);
    assert.match(name.err, /Odd! is no name of an image/);
    const agent = ['agent', 'run', '--controller', 'http://127.0.0.1:1', '--image-rate', '1MiB'];
    const alone = await pomona.run(agent);
    assert.deepEqual([alone.code, /need --image-remote/.test(alone.err)], [2, true]);
  });
});
