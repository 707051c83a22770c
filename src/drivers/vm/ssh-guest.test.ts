import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { guestKey } from './ssh-guest.ts';

async function newDir(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'pomona-key-'));
  t.after(() => rm(dir, { recursive: true }));
  return dir;
}

test('machines that boot at the same time get one key, whose halves belong together', async (t) => {
  const dir = await newDir(t);
  const path = join(dir, '.key/guest');
  const paths = await Promise.all(Array.from({ length: 8 }, () => guestKey(path)));
  assert.deepEqual([...new Set(paths)], [path]);
  const publicHalf = execFileSync('ssh-keygen', ['-y', '-f', path], { encoding: 'utf8' });
  const [kind, key] = (await readFile(`${path}.pub`, 'utf8')).split(' ');
  assert.equal(publicHalf.split(' ').slice(0, 2).join(' ').trim(), `${kind} ${key}`);
  assert.deepEqual(await readdir(dir), ['.key']);
  const before = await readFile(path, 'utf8');
  await guestKey(path);
  assert.equal(await readFile(path, 'utf8'), before, 'a key that is there stays');
});
