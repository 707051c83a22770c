import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, chown, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { kill, Pomona, until } from './pomona.ts';

const NOBODY = 65_534;
const asRoot = process.getuid?.() === 0;

/** Why this cannot be tried here. */
function reasonToSkip(): string | false {
  if (!asRoot) return false;
  const { status } = spawnSync('test', ['-r', import.meta.filename], { uid: NOBODY, gid: NOBODY });
  return status === 0 ? false : 'other users cannot read this checkout';
}

test(
  'an ordinary user runs jobs, and nothing is left behind',
  { skip: reasonToSkip() },
  async (t) => {
    const home = await mkdtemp(join(tmpdir(), 'pomona-home-'));
    t.after(() => rm(home, { recursive: true }));
    if (asRoot) await chown(home, NOBODY, NOBODY);
    await chmod(home, 0o700);
    const uid = asRoot ? { uid: NOBODY } : {};
    const pomona = await Pomona.make({ ...uid, env: { HOME: home, TMPDIR: home } });
    t.after(() => pomona.remove());

    const server = await pomona.up();
    const output = join(pomona.data, 'out');
    const ran = await pomona.run([
      ...['run', '--artifact', '*.txt', '--output', output],
      ...['--', 'sh', '-c', 'echo said; echo made > made.txt; (sleep 300 &)'],
    ]);
    assert.deepEqual([ran.code, ran.out], [0, 'said\n'], ran.err);
    assert.equal(await readFile(join(output, 'made.txt'), 'utf8'), 'made\n');

    const [host = ''] = (await pomona.json<{ name: string }[]>(['host', 'list'])).map(
      ({ name }) => name,
    );
    assert.equal((await pomona.run(['host', 'drain', host])).code, 0);
    await until('no worker is left', async () => (await pomona.keeperDirs()).length === 0);
    await kill(server, 'SIGTERM');
    // Compiled code, in the user's own cache.
    assert.deepEqual(await readdir(home), ['.cache']);
  },
);
