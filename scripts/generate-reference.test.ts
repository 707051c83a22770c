import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { referencePages, stalePages } from './generate-reference.ts';

test('every command, option and operation has its place in the reference', async () => {
  const pages = await referencePages();
  for (const text of ['## pomona run', '`--timeout <duration>`', 'pomona job why', '`--json`']) {
    assert.ok(pages['cli.md']?.includes(text), text);
  }
  assert.match(pages['api.md'] ?? '', /### POST \/api\/v1\/jobs\n/);
  assert.match(pages['errors.md'] ?? '', /`stale_epoch`/);
  assert.match(pages['configuration.md'] ?? '', /`pools\[\]\.limits\.memory`\s+\| size/);
});

test('a page that is missing or was changed by hand is named', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'pomona-docs-'));
  t.after(() => rm(dir, { recursive: true }));
  for (const [name, text] of Object.entries(await referencePages())) {
    if (name !== 'api.md') await writeFile(join(dir, name), text);
  }
  await writeFile(join(dir, 'cli.md'), 'by hand');
  assert.deepEqual((await stalePages(dir)).toSorted(), ['api.md', 'cli.md']);
});
