import assert from 'node:assert/strict';
import { existsSync, lstatSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rename, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { removeTree } from '../../platform/tree.ts';
import { makeMountPoints, removeMountPoints, resolveTarget } from './mount-points.ts';
import type { Mount, SandboxSpec } from './sandbox.ts';

const base = await mkdtemp(join(tmpdir(), 'pomona-mounts-'));
after(() => removeTree(base));
let made = 0;

async function root(): Promise<string> {
  made += 1;
  const dir = join(base, `root-${made}`);
  await mkdir(join(dir, 'etc'), { recursive: true });
  await mkdir(`${dir}.tmp`);
  return dir;
}

function specOf(rootDir: string, mounts: readonly Mount[]): SandboxSpec {
  return {
    name: 'pomona-test-mounts',
    files: { kind: 'root', rootDir },
    tmpDir: `${rootDir}.tmp`,
    mounts,
    network: 'none',
    user: undefined,
    limits: {},
  };
}

test('links are followed as the inside follows them', async () => {
  const dir = await root();
  const shown = [{ inside: '/', dir }];
  await symlink('/etc', join(dir, 'absolute'));
  await symlink('../../../../etc', join(dir, 'above'));
  await symlink('absolute/../etc/./deeper', join(dir, 'chain'));
  for (const [target, wanted] of [
    ['/absolute/x', '/etc/x'],
    ['/above/x', '/etc/x'],
    ['/chain', '/etc/deeper'],
    ['/a/b/../../../../c', '/c'],
    ['/new//place/', '/new/place'],
  ] as const) {
    assert.equal(await resolveTarget(shown, target), wanted);
  }
});

test('links that go round, and what leads out of all that is shown, are refused', async () => {
  const dir = await root();
  await symlink('b', join(dir, 'a'));
  await symlink('a', join(dir, 'b'));
  await symlink('/elsewhere', join(dir, 'out'));
  await assert.rejects(resolveTarget([{ inside: '/', dir }], '/a/x'), { code: 'bad_mount' });
  const home = [{ inside: '/home/worker', dir }];
  assert.equal(await resolveTarget(home, '/home/worker/x'), '/home/worker/x');
  for (const target of ['/home/worker/out/x', '/home/other', '/home/worker/../../etc']) {
    await assert.rejects(resolveTarget(home, target), { code: 'bad_mount' });
  }
});

test('a mount in another mount has its place there, and not where it hides', async () => {
  const dir = await root();
  const [outer, inner] = [join(base, 'outer'), join(base, 'inner')];
  await mkdir(outer);
  await mkdir(inner);
  const mounts = [
    { source: outer, target: '/cache', readOnly: false },
    { source: inner, target: '/cache/in/ner', readOnly: false },
  ];
  await makeMountPoints(specOf(dir, mounts), [{ inside: '/', dir }], undefined);
  assert.equal(existsSync(join(outer, 'in/ner')), true);
  assert.equal(existsSync(join(dir, 'cache/in')), false);
});

test('nothing is made in a read-only mount', async () => {
  const dir = await root();
  const [outer, inner] = [join(base, 'outer-ro'), join(base, 'inner-ro')];
  await mkdir(outer);
  await mkdir(inner);
  const mounts = [
    { source: outer, target: '/cache', readOnly: true },
    { source: inner, target: '/cache/new', readOnly: false },
  ];
  const making = makeMountPoints(specOf(dir, mounts), [{ inside: '/', dir }], undefined);
  await assert.rejects(making, { code: 'bad_mount' });
  assert.equal(existsSync(join(outer, 'new')), false);
});

test('a job that moved the place of a secret away loses nothing of the host', async () => {
  const dir = await root();
  const secret = join(base, 'secret');
  await writeFile(secret, 'x');
  const outside = join(base, 'outside');
  await mkdir(outside);
  await writeFile(join(outside, 'token'), '');
  const spec = specOf(dir, [{ source: secret, target: '/run/token', readOnly: true }]);
  const [mount] = await makeMountPoints(spec, [{ inside: '/', dir }], undefined);
  assert.ok(mount !== undefined);
  assert.equal(readFileSync(mount.source, 'utf8'), 'x');
  assert.equal(lstatSync(mount.source).mode & 0o777, 0o400);
  await rename(join(dir, 'run'), join(dir, 'moved'));
  await symlink(outside, join(dir, 'run'));
  await removeMountPoints(spec);
  await removeMountPoints(spec);
  assert.equal(existsSync(join(outside, 'token')), true);
  assert.equal(existsSync(mount.source), false);
});
