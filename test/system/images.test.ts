import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { noBuilds } from '../builder-fixture.ts';
import { Pomona, until } from './pomona.ts';

interface Listed {
  readonly name: string;
  readonly tag: string;
  readonly digest: string;
}

describe('images of sandboxes', { skip: noBuilds }, () => {
  let pomona: Pomona;
  let dir = '';

  before(async () => {
    pomona = await Pomona.make();
    dir = await mkdtemp(join(tmpdir(), 'pomona-images-'));
    await mkdir(join(dir, 'base/home'), { recursive: true });
    await mkdir(join(dir, 'base/prefix/bin'), { recursive: true });
    await writeFile(join(dir, 'base/home/mine'), 'of the base\n');
    await writeFile(join(dir, 'base/prefix/bin/tool'), '#!/bin/sh\necho the tool\n', {
      mode: 0o755,
    });
    await pomona.up();
  });
  after(async () => {
    await pomona.remove();
    await rm(dir, { recursive: true });
  });

  async function runIn(image: string, script: string): Promise<string> {
    const file = join(dir, 'pool.yaml');
    await writeFile(file, `name: p\nlabels: [p]\nimage: ${image}\n`);
    const applied = await pomona.run(['pool', 'apply', '-f', file]);
    assert.equal(applied.code, 0, applied.err);
    const ran = await pomona.run(['run', '--pool', 'p', '--', 'sh', '-c', script]);
    assert.equal(ran.code, 0, ran.err);
    return ran.out;
  }
  const list = () => pomona.json<Listed[]>(['image', 'list']);
  const data = () => ['--data', pomona.data];

  test('a directory that is imported is what workers begin with', async () => {
    const made = await pomona.run(['image', 'import', 'plain', join(dir, 'base'), ...data()]);
    assert.equal(made.code, 0, made.err);
    assert.equal(await runIn('plain', 'cat ~/mine; tool'), 'of the base\nthe tool\n');
  });

  test('an image with a secret is sent nowhere until it is allowed', async () => {
    const leaky = join(dir, 'leaky');
    const token = `npm_${randomBytes(18).toString('hex')}`;
    await mkdir(join(leaky, 'home'), { recursive: true });
    await writeFile(join(leaky, 'home/.npmrc'), `//registry/:_authToken=${token}\n`);
    await pomona.run(['image', 'import', 'leaky', leaky, ...data()]);
    const push = ['image', 'push', 'leaky', `file://${join(dir, 'remote')}`, ...data()];
    const refused = await pomona.run(push);
    assert.equal(refused.code, 1);
    assert.match(refused.err, /npm-token-[0-9a-f]{12} {2}a token of npm: home\/.npmrc, at byte 23/);
    assert(!refused.err.includes(token));
    const asJson = await pomona.run([...push, '--json']);
    assert.equal(asJson.code, 1);
    const { findings } = JSON.parse(asJson.out) as { findings: { id: string }[] };
    const allowed = join(dir, 'allowed');
    await writeFile(allowed, `# of a test\n${findings[0]?.id} a token that works nowhere\n`);
    const missing = await pomona.run([...push, '--allow', '@/no/such/file']);
    assert.deepEqual([missing.code, /--allow @\/no\/such\/file/.test(missing.err)], [2, true]);
    const sent = await pomona.run([...push, '--allow', `@${allowed}`]);
    assert.equal(sent.code, 0, sent.err);
  });

  test('a spec makes an image, and a change of it another', async () => {
    const spec = join(dir, 'a.spec');
    const write = (word: string) =>
      writeFile(spec, `((from ./base) (run (shell "echo ${word} > made")))`);
    const build = () => pomona.run(['image', 'build', 'made:stable', spec, ...data()]);
    await write('first');
    const first = await build();
    assert.equal(first.code, 0, first.err);
    assert.match(first.out, /made:stable is sha256:[0-9a-f]{64}\n$/);
    assert.equal(await runIn('made:stable', 'cat ~/made ~/mine'), 'first\nof the base\n');
    assert.equal((await build()).out.split('\n').at(-2), first.out.split('\n').at(-2));
    await write('second');
    assert.equal((await build()).code, 0);
    assert.equal(await runIn('made:stable', 'cat ~/made'), 'second\n');
  });

  test('a step that fails leaves the image as it was', async () => {
    const before = await list();
    const spec = join(dir, 'fails.spec');
    await writeFile(spec, '((from ./base) (run (shell "exit 3")))');
    const failed = await pomona.run(['image', 'build', 'made:stable', spec, ...data()]);
    assert.equal(failed.code, 1);
    assert.deepEqual(await list(), before);
  });

  test('an image of the schedule is made anew, and its newest dated tags stay', async () => {
    const spec = join(dir, 'scheduled.spec');
    const runs = '((from ./base) (run (shell "date +%s.%N > when")))';
    await writeFile(spec, runs);
    const options = ['--every', '1s', '--keep', '2', ...data()];
    const made = await pomona.run(['image', 'build', 'often', spec, ...options]);
    assert.equal(made.code, 0, made.err);
    const tags = async () => (await list()).filter(({ name }) => name === 'often');
    const digestOf = (all: readonly Listed[]) => all.find(({ tag }) => tag === 'latest')?.digest;
    const first = digestOf(await tags());
    for (const _ of [1, 2, 3]) {
      const again = await pomona.run(['image', 'rebuild', 'often', ...data()]);
      // The agent may be at it itself.
      if (again.code !== 0) assert.match(again.err, /is in use by/);
    }
    await until('it is made anew', async () => digestOf(await tags()) !== first);
    const dated = (await tags()).filter(({ tag }) => tag !== 'latest');
    assert(dated.length <= 2, dated.map(({ tag }) => tag).join());
    await writeFile(spec, '((from ./base) (run (shell "exit 3")))');
    await until('a failure is told', async () => {
      await pomona.run(['image', 'rebuild', 'often', ...data()]);
      const [row] = await pomona.json<{ error?: string }[]>(['image', 'schedule']);
      return row?.error === 'a step failed';
    });
    const removed = await pomona.run(['image', 'unschedule', 'often', ...data()]);
    assert.equal(removed.code, 0, removed.err);
    assert.deepEqual(await pomona.json(['image', 'schedule']), []);
    const unknown = await pomona.run(['image', 'rebuild', 'often', ...data()]);
    assert.match(unknown.err, /not on the schedule; there are: none/);
  });

  test('the agent makes images anew by itself', async () => {
    const spec = join(dir, 'by-agent.spec');
    await writeFile(spec, '((from ./base) (run (shell "date +%s.%N > when")))');
    const made = await pomona.run([
      ...['image', 'build', 'by-agent', spec, '--every', '1s', ...data()],
    ]);
    assert.equal(made.code, 0, made.err);
    const log = join(pomona.data, 'agent/images/recipes/rebuild.log');
    await until(
      'the agent looks',
      async () => {
        const text = await readFile(log, 'utf8').catch(() => '');
        return text.includes('by-agent:latest is sha256:');
      },
      60_000,
    );
    await pomona.run(['image', 'unschedule', 'by-agent', ...data()]);
  });
});
