import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { VolumeUse, WorkerSpec } from '../../domain/worker.ts';
import { copyDriver } from '../../drivers/store/copy.ts';
import { Volumes } from './volumes.ts';

const COPIES: VolumeUse = { name: 'ccache', path: 'ccache', mode: 'copies', sizeBytes: 2 ** 20 };
const EXCLUSIVE: VolumeUse = { ...COPIES, mode: 'exclusive' };
const NEVER = new AbortController().signal;

async function fixture(t: TestContext) {
  const dataDir = await mkdtemp(join(tmpdir(), 'pomona-volumes-'));
  t.after(() => rm(dataDir, { recursive: true }));
  const open = () => new Volumes({ stores: { copy: copyDriver }, dataDir });
  return { dataDir, open, volumes: open() };
}

function user(name: string, pool = 'macs', changes: Partial<WorkerSpec> = {}) {
  const image = { name: 'empty', digest: 'sha256:00' };
  const spec = {
    kind: 'sandbox',
    pool,
    image,
    limits: {},
    sandbox: 's',
    store: 'copy',
    ...changes,
  };
  return { name, spec: spec as WorkerSpec };
}

test('of two that had a copy of one version, the first that succeeds makes the next', async (t) => {
  const { volumes } = await fixture(t);
  for (const name of ['w-1', 'w-2', 'w-3']) {
    const dir = await volumes.attach(user(name), COPIES, NEVER);
    await writeFile(join(dir, 'by'), name);
  }
  await volumes.release('w-3', COPIES, false);
  await volumes.release('w-2', COPIES, true);
  await volumes.release('w-1', COPIES, true);
  const dir = await volumes.attach(user('w-4'), COPIES, NEVER);
  assert.equal(await readFile(join(dir, 'by'), 'utf8'), 'w-2');
});

test('pools, volumes, levels of trust and kinds of workers have nothing in common', async (t) => {
  const { volumes } = await fixture(t);
  const first = await volumes.attach(user('w-1', 'a.b'), COPIES, NEVER);
  await writeFile(join(first, 'secret'), '');
  await volumes.release('w-1', COPIES, true);
  for (const [who, use] of [
    [user('w-2', 'a'), { ...COPIES, name: 'b-ccache' }],
    [user('w-3', 'a.b'), { ...COPIES, name: 'other' }],
    [user('w-4', 'a.b', { trust: 'untrusted' }), COPIES],
    [user('w-5', 'a.b', { trust: 'untrusted' }), EXCLUSIVE],
    [user('w-6', 'a.b', { kind: 'vm', vm: 'qemu' } as Partial<WorkerSpec>), COPIES],
    [user('w-7', 'a.b', { kind: 'vm', vm: 'tart' } as Partial<WorkerSpec>), COPIES],
  ] as const) {
    assert.deepEqual(await readdir(await volumes.attach(who, use, NEVER)), [], who.name);
  }
});

test('an exclusive one is refused to a second worker, and had again after the first', async (t) => {
  const { volumes, open } = await fixture(t);
  const dir = await volumes.attach(user('w-1'), EXCLUSIVE, NEVER);
  await writeFile(join(dir, 'half'), '');
  await assert.rejects(volumes.attach(user('w-2'), EXCLUSIVE, NEVER), /in use by worker w-1/);
  await assert.rejects(open().attach(user('w-2'), EXCLUSIVE, NEVER), /in use by worker w-1/);
  assert.equal(await open().attach(user('w-1'), EXCLUSIVE, NEVER), dir);
  await volumes.release('w-2', EXCLUSIVE, false);
  await volumes.release('w-1', EXCLUSIVE, false);
  await volumes.release('w-1', EXCLUSIVE, false);
  assert.deepEqual(await readdir(await volumes.attach(user('w-2'), EXCLUSIVE, NEVER)), ['half']);
});

test('after a crash what nobody has any more is released, and no version is left behind', async (t) => {
  const { dataDir, volumes, open } = await fixture(t);
  for (const name of ['w-1', 'w-2']) {
    await volumes.attach(user(name), COPIES, NEVER);
    await volumes.release(name, COPIES, true);
  }
  await volumes.attach(user('w-3'), COPIES, NEVER);
  await volumes.attach(user('w-4'), COPIES, NEVER);
  await volumes.attach(user('w-4', 'own'), { ...EXCLUSIVE, name: 'x' }, NEVER);
  // A version that was committed and not yet recorded.
  const store = copyDriver.open(join(dataDir, 'volumes/store'));
  await store.createSnapshot('trusted-macs-lost', async () => undefined);
  const later = open();
  for (const left of await later.leftovers((name) => name === 'w-3')) await left.remove();
  await later.sweep();
  assert.deepEqual(await store.listClones(), ['w-3.ccache']);
  assert.equal((await store.listSnapshots()).length, 1);
  await later.attach(user('w-5', 'own'), { ...EXCLUSIVE, name: 'x' }, NEVER);
  await later.release('w-3', COPIES, true);
  assert.equal((await store.listSnapshots()).length, 1);
});

test('a version stays as long as a copy that was made from it is in use, and then goes', async (t) => {
  const { dataDir, volumes } = await fixture(t);
  await volumes.attach(user('w-1'), COPIES, NEVER);
  await volumes.release('w-1', COPIES, true);
  await volumes.attach(user('w-2'), COPIES, NEVER);
  await volumes.attach(user('w-3'), COPIES, NEVER);
  const store = copyDriver.open(join(dataDir, 'volumes/store'));
  await volumes.release('w-2', COPIES, true);
  assert.equal((await store.listSnapshots()).length, 2);
  await volumes.release('w-3', COPIES, false);
  assert.equal((await store.listSnapshots()).length, 1);
});

test('a volume is listed, and begun anew when it is forgotten', async (t) => {
  const { volumes, open } = await fixture(t);
  const dir = await volumes.attach(user('w-1'), COPIES, NEVER);
  await writeFile(join(dir, 'kept'), 'x'.repeat(10_000));
  await volumes.release('w-1', COPIES, true);
  const own = await volumes.attach(user('w-2', 'own'), EXCLUSIVE, NEVER);
  await writeFile(join(own, 'half'), '');
  const [first, second] = await open().list();
  assert.deepEqual([first?.pool, first?.holder, second?.holder], ['macs', undefined, 'w-2']);
  assert.ok((first?.bytes ?? 0) >= 10_000);
  await volumes.attach(user('w-3'), COPIES, NEVER);
  await open().forget(first?.key ?? '');
  await assert.rejects(open().forget(second?.key ?? ''), /in use by worker w-2/);
  await volumes.release('w-3', COPIES, true);
  assert.deepEqual(await readdir(await volumes.attach(user('w-4'), COPIES, NEVER)), []);
  await volumes.release('w-2', EXCLUSIVE, false);
  await open().forget(second?.key ?? '');
  assert.deepEqual(await readdir(await volumes.attach(user('w-5', 'own'), EXCLUSIVE, NEVER)), []);
});

test('a version that the store lost is begun anew', async (t) => {
  const { dataDir, volumes } = await fixture(t);
  const dir = await volumes.attach(user('w-1'), COPIES, NEVER);
  await writeFile(join(dir, 'kept'), '');
  await volumes.release('w-1', COPIES, true);
  const store = copyDriver.open(join(dataDir, 'volumes/store'));
  for (const snapshot of await store.listSnapshots()) await store.deleteSnapshot(snapshot);
  assert.deepEqual(await readdir(await volumes.attach(user('w-2'), COPIES, NEVER)), []);
  await volumes.release('w-2', COPIES, true);
  assert.equal((await store.listSnapshots()).length, 1);
});
