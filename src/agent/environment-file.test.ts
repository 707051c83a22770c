import assert from 'node:assert/strict';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { SandboxSpec } from '../drivers/sandbox/sandbox.ts';
import { writeJson } from '../platform/atomic-file.ts';
import { removeTree } from '../platform/tree.ts';
import { readEnvironment } from './environment-file.ts';

const dir = await mkdtemp(join(tmpdir(), 'pomona-environment-'));
const file = join(dir, 'environment.json');
after(() => removeTree(dir));

const home = { homeDir: '/c/home', prefixDir: '/c/prefix', prefixPath: '/usr/local' };
const spec: SandboxSpec = {
  name: 'pomona-f-w',
  files: { kind: 'home', ...home },
  tmpDir: '/t',
  mounts: [{ source: '/cache', target: '/home/worker/.cache', readOnly: true }],
  network: 'none',
  user: undefined,
  limits: { processes: 5 },
};

test('a spec is read as it was written, of either kind of files', async () => {
  const root: SandboxSpec = {
    ...spec,
    files: { kind: 'root', rootDir: '/c/root' },
    user: { uid: 1000, gid: 1001 },
    fastSync: true,
  };
  for (const each of [spec, root]) {
    await writeJson(file, each);
    assert.deepEqual(await readEnvironment(file), each);
  }
});

test('the spec of a worker that version 0.1 made is understood', async () => {
  await writeJson(file, { name: spec.name, ...home, tmpDir: '/t', limits: { cpus: 2 } });
  assert.deepEqual(await readEnvironment(file), {
    ...spec,
    mounts: [],
    network: 'host',
    limits: { cpus: 2 },
  });
});

test('no file is no spec; one that is none says which file and why', async () => {
  assert.equal(await readEnvironment(join(dir, 'missing.json')), undefined);
  await writeFile(file, '{"name": "x", "tmpDir": "relative"}');
  await assert.rejects(readEnvironment(file), /environment\.json does not hold .* tmpDir/s);
});
