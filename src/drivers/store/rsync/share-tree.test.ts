import assert from 'node:assert/strict';
import {
  chmod,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  readlink,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { copyTree } from '../../../platform/tree.ts';
import { shareTree } from './share-tree.ts';

test('what did not change is the parent’s own, and all else is as it is', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'pomona-share-'));
  t.after(() => rm(dir, { recursive: true }));
  const [parent, from, to] = [join(dir, 'parent'), join(dir, 'from'), join(dir, 'to')];
  await mkdir(join(parent, 'deep'), { recursive: true });
  for (const name of ['same', 'sly', 'mode', 'deep/same', 'kind']) {
    await writeFile(join(parent, name), 'before');
    await utimes(join(parent, name), 1_000_000, 1_000_000);
  }
  await symlink('same', join(parent, 'link'));
  for (const each of [from, to]) await mkdir(each);
  await copyTree(parent, from, { reflink: false });
  // As long and as old as before.
  await writeFile(join(from, 'sly'), 'AFTER!');
  await utimes(join(from, 'sly'), 1_000_000, 1_000_000);
  await chmod(join(from, 'mode'), 0o755);
  await rm(join(from, 'kind'));
  await mkdir(join(from, 'kind'));
  await writeFile(join(from, 'one'), 'of two names');
  await link(join(from, 'one'), join(from, 'other'));
  await chmod(join(from, 'deep'), 0o555);

  await shareTree(from, to, parent);

  const inode = async (root: string, name: string) => (await lstat(join(root, name))).ino;
  for (const name of ['same', 'deep/same']) {
    assert.equal(await inode(to, name), await inode(parent, name), name);
  }
  for (const name of ['sly', 'mode', 'one']) {
    assert.equal(await inode(to, name), await inode(from, name), name);
  }
  assert.equal(await inode(to, 'one'), await inode(to, 'other'));
  assert.equal(await readFile(join(to, 'sly'), 'utf8'), 'AFTER!');
  assert.equal(await readlink(join(to, 'link')), 'same');
  assert((await lstat(join(to, 'kind'))).isDirectory());
  assert.equal((await lstat(join(to, 'deep'))).mode & 0o777, 0o555);
});
