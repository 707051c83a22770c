import assert from 'node:assert/strict';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeDisk } from '../image-tools.ts';
import { Pomona, kill } from './pomona.ts';

const MB = 2 ** 20;
/** Kills come so much later each time, until the program was faster. */
const STEP_MS = 60;
const MOST_KILLS = 60;

describe('programs that move images and are killed', () => {
  let pomona: Pomona;
  let dir = '';
  const here = () => ['--agent-data', join(dir, 'here')];
  const there = () => ['--agent-data', join(dir, 'there')];
  const remote = () => `file://${join(dir, 'remote')}`;

  before(async () => {
    pomona = await Pomona.make();
    dir = await mkdtemp(join(tmpdir(), 'pomona-killed-'));
    const data = randomBytes(80 * MB);
    await writeDisk(join(dir, 'one.img'), 200 * MB, [{ at: 0, bytes: data }]);
    await writeDisk(join(dir, 'two.img'), 200 * MB, [
      { at: 0, bytes: data },
      { at: 30 * MB, bytes: randomBytes(40 * MB) },
    ]);
    for (const name of ['one', 'two']) {
      await must(['image', 'import', `disk:${name}`, join(dir, `${name}.img`), ...here()]);
    }
  });
  after(async () => {
    await pomona.remove();
    await rm(dir, { recursive: true });
  });

  async function must(args: readonly string[]): Promise<string> {
    const { code, out, err } = await pomona.run(args);
    assert.equal(code, 0, `${args.join(' ')}: ${err}`);
    return out;
  }

  /** Starts it again and again, killed later each time, until it ends by itself. Returns the kills. */
  async function killedUntilDone(
    args: readonly string[],
    look: () => Promise<void>,
    startMs = 150,
  ): Promise<number> {
    for (let kills = 0; kills < MOST_KILLS; kills += 1) {
      const child = pomona.spawn(args);
      child.stdin?.end();
      child.stdout?.resume();
      child.stderr?.resume();
      const exit = once(child, 'exit') as Promise<[number | null]>;
      const [code] = await Promise.race([exit, sleep(startMs + kills * STEP_MS, [undefined])]);
      if (code === 0) return kills;
      assert.equal(code, undefined, `${args.join(' ')} failed`);
      await kill(child, 'SIGKILL');
      await look();
    }
    return assert.fail('it never came to an end');
  }
  const tags = async () => {
    const listed = await pomona.json<{ tag: string }[]>(['image', 'list', remote(), ...here()]);
    return listed.map(({ tag }) => tag).toSorted();
  };

  test('a push shows nothing until it is whole, and each goes on where the last was', async () => {
    const push = ['image', 'push', 'disk:one', remote(), ...here()];
    const kills = await killedUntilDone(push, async () => {
      // The tag may have been written a moment before the kill; then it has to be good.
      if ((await tags()).length > 0)
        await must(['image', 'pull', 'disk:one', remote(), ...there()]);
    });
    assert.ok(kills > 0);
    assert.deepEqual(await tags(), ['one']);
  });

  test('a pull shows nothing until it is whole, and what is whole is right', async () => {
    const pull = ['image', 'pull', 'disk:one', remote(), ...there()];
    const kills = await killedUntilDone(pull, async () => {
      const listed = await pomona.json<unknown[]>(['image', 'list', ...there()]);
      if (listed.length > 0) await must(['image', 'verify', 'disk:one', ...there()]);
    });
    assert.ok(kills > 0);
    await must(['image', 'verify', 'disk:one', ...there()]);
    assert.deepEqual(await readdir(join(dir, 'there/images/incoming')), []);
  });

  test('gc and pushes that are killed harm no image that is there', async () => {
    const push = ['image', 'push', 'disk:two', remote(), ...here()];
    const gc = ['image', 'gc', remote(), ...here()];
    await killedUntilDone(push, async () => {
      const collecting = pomona.spawn(gc);
      collecting.stdin?.end();
      collecting.stdout?.resume();
      collecting.stderr?.resume();
      await sleep(350);
      await kill(collecting, 'SIGKILL');
    });
    await must(gc);
    await must(gc);
    assert.deepEqual(await tags(), ['one', 'two']);
    const fresh = ['--agent-data', join(dir, 'fresh')];
    for (const name of ['disk:one', 'disk:two']) {
      await must(['image', 'pull', name, remote(), ...fresh]);
      await must(['image', 'verify', name, ...fresh]);
    }
  });
});
