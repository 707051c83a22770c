import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import {
  chmod,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  readlink,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { STORE_DRIVERS } from '../../src/drivers/store/drivers.ts';
import { StoreError, type Store, type StoreDriver } from '../../src/drivers/store/store.ts';
import { loopFileSystem, type LoopFileSystem } from '../loop-file-system.ts';

const CASES = [
  { driver: 'copy', on: 'the temporary directory' },
  { driver: 'overlayfs', on: 'ext4' },
  { driver: 'reflink', on: 'xfs' },
  { driver: 'reflink', on: 'btrfs' },
  { driver: 'btrfs', on: 'btrfs' },
] as const;

for (const { driver: name, on } of CASES) {
  const driver = STORE_DRIVERS[name];
  assert.ok(driver);
  const disk = on === 'the temporary directory' ? undefined : loopFileSystem(on, 512);
  const skip = typeof disk === 'string' ? disk : false;
  describe(`store ${name} on ${on}`, { skip }, () =>
    storeContract(driver, disk as LoopFileSystem | undefined),
  );
}

function storeContract(driver: StoreDriver, disk: LoopFileSystem | undefined): void {
  let root = '';
  let store: Store;

  before(async () => {
    root = await mkdtemp(join(disk?.dir ?? tmpdir(), 'store-'));
    store = driver.open(root);
    await store.recover();
  });
  after(async () => {
    for (const name of await store.listClones()) await store.deleteClone(name);
    // Children first, in whatever order they come.
    for (
      let left = await store.listSnapshots();
      left.length > 0;
      left = await store.listSnapshots()
    ) {
      for (const id of left) {
        await store.deleteSnapshot(id).catch((error: unknown) => {
          if (!(error instanceof StoreError && error.code === 'in_use')) throw error;
        });
      }
    }
    assert(
      !readFileSync('/proc/self/mountinfo', 'utf8').includes(`${root}/`) || disk === undefined,
    );
    if (disk === undefined) await rm(root, { recursive: true });
    else disk.remove();
  });

  test('it says that it is available where it works', async () => {
    const report = await driver.probe(root);
    assert.deepEqual(
      { ...report, detail: '' },
      {
        name: driver.name,
        rank: driver.rank,
        available: true,
        detail: '',
      },
    );
  });

  test('a clone has all that the snapshot has', async () => {
    await store.createSnapshot('full', async (dir) => {
      await mkdir(join(dir, 'empty'));
      await mkdir(join(dir, 'a/deep/read-only'), { recursive: true });
      await writeFile(join(dir, 'a/deep/read-only/file'), 'content');
      await chmod(join(dir, 'a/deep/read-only'), 0o555);
      await writeFile(join(dir, 'program'), '#!/bin/sh\n', { mode: 0o755 });
      await writeFile(join(dir, 'set-uid'), 'x');
      await chmod(join(dir, 'set-uid'), 0o4755);
      await link(join(dir, 'program'), join(dir, 'same-program'));
      await symlink('a/deep', join(dir, 'link'));
      await symlink('/nowhere', join(dir, 'dangling'));
      await writeFile(
        Buffer.concat([Buffer.from(`${dir}/odd-`), Buffer.from([0xff, 0x0a])]),
        'odd',
      );
      await utimes(join(dir, 'program'), 1_000_000, 1_234_567.891);
    });
    const clone = await store.clone('full', 'clone-full');
    assert.deepEqual((await readdir(clone)).filter((name) => !name.startsWith('odd-')).toSorted(), [
      'a',
      'dangling',
      'empty',
      'link',
      'program',
      'same-program',
      'set-uid',
    ]);
    assert.equal(await readFile(join(clone, 'a/deep/read-only/file'), 'utf8'), 'content');
    assert.equal((await lstat(join(clone, 'a/deep/read-only'))).mode & 0o7777, 0o555);
    assert.equal((await lstat(join(clone, 'set-uid'))).mode & 0o7777, 0o4755);
    const program = await lstat(join(clone, 'program'));
    assert.equal(program.ino, (await lstat(join(clone, 'same-program'))).ino);
    assert.equal(Math.round(program.mtimeMs), 1_234_567_891);
    assert.equal(await readlink(join(clone, 'link')), 'a/deep');
    assert.equal(await readlink(join(clone, 'dangling')), '/nowhere');
    const odd = Buffer.concat([Buffer.from(`${clone}/odd-`), Buffer.from([0xff, 0x0a])]);
    assert.equal(await readFile(odd, 'utf8'), 'odd');
    await store.deleteClone('clone-full');
  });

  test('what is written to a clone changes neither the snapshot nor another clone', async () => {
    await store.createSnapshot('shared', (dir) => writeFile(join(dir, 'file'), 'original'));
    const one = await store.clone('shared', 'one');
    const two = await store.clone('shared', 'two');
    await writeFile(join(one, 'file'), 'changed');
    assert.equal(await readFile(join(two, 'file'), 'utf8'), 'original');
    const three = await store.clone('shared', 'three');
    assert.equal(await readFile(join(three, 'file'), 'utf8'), 'original');
  });

  test('a clone of a name that is taken replaces it', async () => {
    await store.createSnapshot('plain', (dir) => writeFile(join(dir, 'file'), 'plain'));
    const first = await store.clone('plain', 'again');
    await mkdir(join(first, 'left', 'over'), { recursive: true });
    await chmod(join(first, 'left'), 0o500);
    const second = await store.clone('plain', 'again');
    assert.deepEqual(await readdir(second), ['file']);
  });

  test('clones outlive the snapshot they were made from', async () => {
    await store.createSnapshot('brief', (dir) => writeFile(join(dir, 'file'), 'kept'));
    const clone = await store.clone('brief', 'outlives');
    if (store.capabilities.childrenFirst) {
      await assert.rejects(store.deleteSnapshot('brief'), { code: 'in_use' });
      await store.deleteClone('outlives');
      await store.deleteSnapshot('brief');
      assert.equal(await store.hasSnapshot('brief'), false);
      return;
    }
    await store.deleteSnapshot('brief');
    assert.equal(await store.hasSnapshot('brief'), false);
    assert.equal(await readFile(join(clone, 'file'), 'utf8'), 'kept');
  });

  test('a snapshot is made once', async () => {
    await store.createSnapshot('once', (dir) => writeFile(join(dir, 'file'), 'first'));
    await store.createSnapshot('once', () => assert.fail('it exists already'));
  });

  test('a snapshot that fails half-way leaves nothing', async () => {
    const failing = store.createSnapshot('broken', async (dir) => {
      await writeFile(join(dir, 'file'), 'half');
      throw new Error('no more');
    });
    await assert.rejects(failing, /no more/);
    assert.equal(await store.hasSnapshot('broken'), false);
    assert.deepEqual(await unfinished(root), []);
  });

  test('a clone that is committed is a snapshot, and a clone no more', async () => {
    await store.createSnapshot('parent', (dir) => writeFile(join(dir, 'file'), 'parent'));
    const clone = await store.clone('parent', 'step');
    await writeFile(join(clone, 'file'), 'child');
    await store.commit('step', 'child');
    assert.equal((await store.listClones()).includes('step'), false);
    assert.equal(
      await store.withSnapshot('child', (dir) => readFile(join(dir, 'file'), 'utf8')),
      'child',
    );
    const second = await store.clone('child', 'second');
    assert.equal(await readFile(join(second, 'file'), 'utf8'), 'child');
    await writeFile(join(second, 'file'), 'grandchild');
    await store.commit('second', 'grandchild');
    assert.equal(
      await store.withSnapshot('child', (dir) => readFile(join(dir, 'file'), 'utf8')),
      'child',
    );
  });

  test('of two that commit the same, the first stays and the other is dropped', async () => {
    for (const name of ['first', 'second']) {
      const clone = await store.createClone(name);
      await writeFile(join(clone, 'file'), name);
      await store.commit(name, 'committed');
    }
    assert.equal(
      await store.withSnapshot('committed', (dir) => readFile(join(dir, 'file'), 'utf8')),
      'first',
    );
    assert.deepEqual(
      (await store.listClones()).filter((name) => ['first', 'second'].includes(name)),
      [],
    );
    await store.commit('first', 'committed');
    await assert.rejects(store.commit('first', 'never'), { code: 'clone_missing' });
    await assert.rejects(
      store.withSnapshot('never', async () => undefined),
      { code: 'snapshot_missing' },
    );
  });

  test('it tells how much room there is and how much a snapshot takes', async () => {
    const { totalBytes, freeBytes } = await store.diskSpace();
    assert(freeBytes > 0 && freeBytes < totalBytes);
    await store.createSnapshot('big', (dir) => writeFile(join(dir, 'file'), randomBytes(2 ** 20)));
    const bytes = await store.snapshotBytes('big');
    assert(bytes >= 2 ** 20 && bytes < 2 ** 21, `${bytes} bytes`);
  });

  test('what a living process is making is not taken for junk', async () => {
    let other: Store | undefined;
    await store.createSnapshot('slow', async (dir) => {
      await writeFile(join(dir, 'file'), 'whole');
      other = driver.open(root);
      await other.recover();
    });
    const clone = await (other ?? store).clone('slow', 'of-slow');
    assert.equal(await readFile(join(clone, 'file'), 'utf8'), 'whole');
  });

  test('cloning what is not there says so', async () => {
    await assert.rejects(store.clone('missing', 'x'), (error: unknown) => {
      assert.ok(error instanceof StoreError);
      assert.equal(error.code, 'snapshot_missing');
      return true;
    });
  });

  test('a chain of a hundred snapshots is as good as one', async () => {
    await store.createSnapshot('link.0', (dir) => writeFile(join(dir, 'first'), '0'));
    for (let index = 1; index <= 100; index += 1) {
      const clone = await store.clone(`link.${index - 1}`, 'chained');
      await writeFile(join(clone, `f${index}`), String(index));
      if (index > 1) await rm(join(clone, `f${index - 1}`));
      await store.commit('chained', `link.${index}`);
    }
    const names = await store.withSnapshot('link.100', (dir) => readdir(dir));
    assert.deepEqual(names.toSorted(), ['f100', 'first']);
  });

  test('a snapshot is shown to several at once', async () => {
    const clone = await store.clone('shared', 'shown');
    await writeFile(join(clone, 'more'), 'x');
    await store.commit('shown', 'shown');
    const meeting = Promise.withResolvers<void>();
    let there = 0;
    const shown = await Promise.all(
      [store, driver.open(root), store].map((each) =>
        each.withSnapshot('shown', async (dir) => {
          there += 1;
          if (there === 3) meeting.resolve();
          await meeting.promise;
          return readdir(dir);
        }),
      ),
    );
    for (const names of shown) assert.deepEqual(names.toSorted(), ['file', 'more']);
  });

  test('deleting twice is deleting once', async () => {
    await store.createSnapshot('gone', async () => undefined);
    await store.clone('gone', 'gone');
    for (const _ of [1, 2]) {
      await store.deleteClone('gone');
      await store.deleteSnapshot('gone');
    }
    assert.equal((await store.listClones()).includes('gone'), false);
  });

  test('a clone killed half-way is not seen, and the junk goes at the next start', async () => {
    await store.createSnapshot('many', async (dir) => {
      for (let index = 0; index < 3000; index += 1) await writeFile(join(dir, `f${index}`), 'x');
    });
    const drivers = new URL('../../src/drivers/store/drivers.ts', import.meta.url).href;
    const child = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `const { STORE_DRIVERS } = await import(${JSON.stringify(drivers)});
         const store = STORE_DRIVERS[${JSON.stringify(driver.name)}].open(${JSON.stringify(root)});
         process.stdout.write('go');
         for (;;) await store.clone('many', 'victim');`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    await once(child.stdout, 'data');
    await waitFor(async () => (await unfinished(root)).length > 0);
    child.kill('SIGKILL');
    await once(child, 'exit');
    const again = driver.open(root);
    await again.recover();
    assert.deepEqual(await unfinished(root), []);
    const whole = await again.clone('many', 'victim');
    assert.equal((await readdir(whole)).length, 3000);
  });
}

test('a full disk is told as such and leaves nothing half-made', async (context) => {
  const disk = loopFileSystem('ext4', 16);
  if (typeof disk === 'string') return context.skip(disk);
  try {
    const store = STORE_DRIVERS['copy']?.open(join(disk.dir, 'store'));
    assert.ok(store);
    await store.recover();
    await store.createSnapshot('big', (dir) =>
      writeFile(join(dir, 'file'), Buffer.alloc(7 * 2 ** 20)),
    );
    await assert.rejects(
      store.clone('big', 'a').then(() => store.clone('big', 'b')),
      (error) => {
        assert.ok(error instanceof StoreError);
        assert.equal(error.code, 'no_space');
        return true;
      },
    );
    assert.equal((await store.listClones()).includes('b'), false);
    assert.deepEqual(await unfinished(join(disk.dir, 'store')), []);
  } finally {
    disk.remove();
  }
});

async function waitFor(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, 'it did not happen within 20 s');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** What is being made in a store of directories. */
async function unfinished(root: string): Promise<string[]> {
  const owners = await readdir(join(root, 'new'));
  const made = await Promise.all(
    owners.map((owner) => readdir(join(root, 'new', owner)).catch(() => [])),
  );
  return made.flat();
}
