import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { KnownDigests } from './known-digests.ts';

test('what was not touched since is not read again, and what was is', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'pomona-known-'));
  t.after(() => rm(dir, { recursive: true }));
  const tree = join(dir, 'tree');
  await mkdir(join(tree, 'deep'), { recursive: true });
  await writeFile(join(tree, 'deep/file'), 'x');
  let read = 0;
  const digestAt = (ms: number) =>
    new KnownDigests(join(dir, 'known'), () => Date.now() + ms).of(tree, async () => {
      read += 1;
      return `sha256:${read}`;
    });
  // Just written: it may be written again within what its times tell.
  assert.deepEqual([await digestAt(0), await digestAt(0)], ['sha256:1', 'sha256:2']);
  const LATER = 10_000;
  assert.deepEqual([await digestAt(LATER), await digestAt(LATER)], ['sha256:3', 'sha256:3']);
  await writeFile(join(tree, 'deep/file'), 'y');
  assert.equal(await digestAt(LATER), 'sha256:4');
  await chmod(join(tree, 'deep/file'), 0o755);
  assert.equal(await digestAt(LATER), 'sha256:5');
  await writeFile(join(tree, 'more'), '');
  assert.equal(await digestAt(LATER), 'sha256:6');
});
