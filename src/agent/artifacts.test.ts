import assert from 'node:assert/strict';
import { chmod, chown, link, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { findArtifacts, openArtifact } from './artifacts.ts';

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

const pathsOf = async (dir: string, globs: string[]) => (await findArtifacts(dir, globs)).paths;

test('files that match are found, hidden ones and links inside included', async () => {
  assert.deepEqual(await findArtifacts(work, ['out/**/*.txt']), {
    paths: ['out/.deep/c.txt', 'out/a.txt', 'out/inside.txt'],
    problems: [],
  });
});

test('no glob reaches out of the working directory', async () => {
  assert.deepEqual(await pathsOf(work, ['../**', '/etc/*', 'out/dir/*', 'out/leak.txt']), []);
});

test('a working directory that is gone, or became a link, has no artifacts', async () => {
  assert.deepEqual(await pathsOf(join(base, 'none'), ['**']), []);
  await symlink('/etc', join(base, 'as-link'));
  assert.deepEqual(await pathsOf(join(base, 'as-link'), ['**']), []);
});

test('of too many files the first are found, and it is said that there are more', async () => {
  const { paths, problems } = await findArtifacts(work, ['**/*.txt'], 2);
  assert.equal(paths.length, 2);
  assert.deepEqual(problems, ['more than 2 files match; the rest was left']);
});

test(
  'a directory that may not be read is told and does not hide the others',
  { skip: process.getuid?.() === 0 && 'root may read everything' },
  async () => {
    const dir = join(base, 'partly');
    await mkdir(join(dir, 'closed'), { recursive: true });
    await writeFile(join(dir, 'z.txt'), 'z');
    await chmod(join(dir, 'closed'), 0);
    const found = await findArtifacts(dir, ['**/*.txt']);
    assert.deepEqual(found, { paths: ['z.txt'], problems: ['closed: it may not be read'] });
    await chmod(join(dir, 'closed'), 0o700);
  },
);

test(
  'a hard link to a file of another user is not handed out',
  { skip: process.getuid?.() !== 0 && 'only root can make files of other users' },
  async () => {
    const dir = join(base, 'linked');
    await mkdir(dir);
    await link(join(base, 'secret.txt'), join(dir, 'mine.txt'));
    await chown(dir, 54_321, 54_321);
    assert.deepEqual(await pathsOf(dir, ['*.txt']), ['mine.txt']);
    await assert.rejects(openArtifact(dir, 'mine.txt'), /belongs to another user/);
  },
);
