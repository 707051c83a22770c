import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { findArtifacts } from './artifacts.ts';

let base = '';
let work = '';

before(async () => {
  base = await mkdtemp(join(tmpdir(), 'pomona-artifacts-'));
  work = join(base, 'work');
  await mkdir(join(work, 'out/.deep'), { recursive: true });
  await writeFile(join(base, 'secret.txt'), 'not yours');
  await mkdir(join(base, 'elsewhere'));
  await writeFile(join(base, 'elsewhere/b.txt'), 'not yours');
  await writeFile(join(work, 'out/a.txt'), 'a');
  await writeFile(join(work, 'out/.deep/c.txt'), 'c');
  await writeFile(join(work, 'other.log'), 'x');
  await symlink('a.txt', join(work, 'out/inside.txt'));
  await symlink('../../secret.txt', join(work, 'out/leak.txt'));
  await symlink('/etc/passwd', join(work, 'out/passwd.txt'));
  await symlink('nowhere', join(work, 'out/dangling.txt'));
  await symlink('loop.txt', join(work, 'out/loop.txt'));
  await symlink(join(base, 'elsewhere'), join(work, 'out/dir'));
});
after(() => rm(base, { recursive: true }));

test('files that match are found, hidden ones and links inside included', async () => {
  assert.deepEqual(await findArtifacts(work, ['out/**/*.txt']), [
    'out/.deep/c.txt',
    'out/a.txt',
    'out/inside.txt',
  ]);
});

test('no glob reaches out of the working directory', async () => {
  assert.deepEqual(await findArtifacts(work, ['../**', '/etc/*', 'out/dir/*', 'out/leak.txt']), []);
});

test('a working directory that is gone, or became a link, has no artifacts', async () => {
  assert.deepEqual(await findArtifacts(join(base, 'none'), ['**']), []);
  await symlink('/etc', join(base, 'as-link'));
  assert.deepEqual(await findArtifacts(join(base, 'as-link'), ['**']), []);
});
