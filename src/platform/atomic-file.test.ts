import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeFileAtomic } from './atomic-file.ts';

test('several writes of one file at once leave one of them, whole, and nothing else', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'pomona-atomic-'));
  t.after(() => rm(dir, { recursive: true }));
  const contents = Array.from({ length: 20 }, (_, index) => String(index).repeat(10_000));
  const path = join(dir, 'file');
  await Promise.all(contents.map((content) => writeFileAtomic(path, content)));
  assert.ok(contents.includes(await readFile(path, 'utf8')));
  assert.deepEqual(await readdir(dir), ['file']);
});
