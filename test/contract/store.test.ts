import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import {
  chmod,
  link,
  lstat,
  mkdir,
  readFile,
  readdir,
  readlink,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { StoreError, type Store } from '../../src/drivers/store/store.ts';
import { STORE_CASES, storePlace, titleOf, type StorePlace } from '../store-places.ts';

/** Sparse: only what is written takes room. */
const DISK_MB = 3000;
const FULL_DISK_MB = 320;
/** Files that are there at once: 100,000 where that takes a few seconds, and with `POMONA_TEST_ALL` everywhere. */
const QUICK: ReadonlySet<string> = new Set(['btrfs', 'copy']);
const ALL = process.env['POMONA_TEST_ALL'] !== undefined;
const manyFiles = (store: string) => (ALL || QUICK.has(store) ? 100_000 : 20_000);

for (const each of STORE_CASES) {
  const place = storePlace(each, DISK_MB);
  const skip = typeof place === 'string' ? place : false;
  describe(`store ${titleOf(each)}`, { skip }, () => storeContract(place as StorePlace));
}

function storeContract(place: StorePlace): void {
  const { driver, root } = place;
  const dir = driver.dirOf(root);
  let store: Store;

  before(async () => {
    store = driver.open(root);
    await store.recover();
  });
  after(async () => {
    try {
      await removeAll(store);
      assert(!readFileSync('/proc/self/mountinfo', 'utf8').includes(`${dir}/`));
    } finally {
      place.remove();
    }
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
    assert(Math.abs(program.mtimeMs - 1_234_567_891) < place.timesToMs, `${program.mtimeMs}`);
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
    assert.deepEqual(await unfinished(dir), []);
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

  test('a long chain of snapshots is as good as one', async () => {
    await store.createSnapshot('link.0', (dir) => writeFile(join(dir, 'first'), '0'));
    for (let index = 1; index <= place.chain; index += 1) {
      const clone = await store.clone(`link.${index - 1}`, 'chained');
      await writeFile(join(clone, `f${index}`), String(index));
      if (index > 1) await rm(join(clone, `f${index - 1}`));
      await store.commit('chained', `link.${index}`);
    }
    const names = await store.withSnapshot(`link.${place.chain}`, (dir) => readdir(dir));
    assert.deepEqual(names.toSorted(), [`f${place.chain}`, 'first']);
    for (let index = place.chain; index >= 0; index -= 1)
      await store.deleteSnapshot(`link.${index}`);
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

  test(`${manyFiles(driver.name).toLocaleString('en')} files are as good as one`, async () => {
    const files = manyFiles(driver.name);
    const PER_DIRECTORY = 1000;
    await store.createSnapshot('files', async (into) => {
      for (let index = 0; index < files; index += 1) {
        const at = join(into, `d${Math.floor(index / PER_DIRECTORY)}`);
        if (index % PER_DIRECTORY === 0) mkdirSync(at);
        // Empty ones, so that no disk has to take 400 MB of blocks.
        writeFileSync(join(at, `f${index}`), '');
      }
    });
    const clone = await store.clone('files', 'of-files');
    await rm(join(clone, 'd0'), { recursive: true });
    await writeFile(join(clone, 'd1/f1000'), 'changed');
    await store.commit('of-files', 'fewer-files');
    const count = await store.withSnapshot('fewer-files', async (shown) => {
      assert.equal(await readFile(join(shown, 'd1/f1000'), 'utf8'), 'changed');
      return (await readdir(shown, { recursive: true })).length;
    });
    assert.equal(count, (files / PER_DIRECTORY - 1) * (PER_DIRECTORY + 1));
    assert.equal(
      await store.withSnapshot('files', (shown) => readFile(join(shown, 'd1/f1000'), 'utf8')),
      '',
    );
    await store.deleteSnapshot('fewer-files');
    await store.deleteSnapshot('files');
  });

  test('a part of a clone is committed and cloned with it', async () => {
    await store.createClone('parted');
    const home = await store.makePart('parted', 'home');
    await writeFile(join(home, 'file'), 'at home');
    await store.commit('parted', 'parted');
    const clone = await store.clone('parted', 'parted-again');
    assert.equal(await readFile(join(clone, 'home/file'), 'utf8'), 'at home');
    await writeFile(join(clone, 'home/more'), 'x');
    await store.commit('parted-again', 'parted-more');
    const names = (id: string) =>
      store.withSnapshot(id, async (shown) => (await readdir(join(shown, 'home'))).toSorted());
    assert.deepEqual(await names('parted'), ['file']);
    assert.deepEqual(await names('parted-more'), ['file', 'more']);
  });

  test('a clone that is stopped leaves nothing', async () => {
    await assert.rejects(store.clone('shared', 'stopped', AbortSignal.abort()));
    assert.equal((await store.listClones()).includes('stopped'), false);
    assert.deepEqual(await unfinished(dir), []);
  });
}

for (const each of STORE_CASES.filter(({ on }) => on !== 'the temporary directory')) {
  test(`store ${titleOf(each)}: a full disk is told as such and leaves nothing half-made`, async (context) => {
    const place = storePlace(each, FULL_DISK_MB);
    if (typeof place === 'string') return context.skip(place);
    const store = place.driver.open(place.root);
    try {
      await store.recover();
      const filling = store.createSnapshot('too-big', async (into) => {
        const chunk = randomBytes(2 ** 20);
        for (let index = 0; index < FULL_DISK_MB; index += 1) {
          await writeFile(join(into, `f${index}`), chunk);
        }
      });
      await assert.rejects(filling, (error) => {
        assert.ok(error instanceof StoreError, String(error));
        assert.equal(error.code, 'no_space');
        return true;
      });
      assert.deepEqual(await store.listSnapshots(), []);
      assert.deepEqual(await unfinished(place.driver.dirOf(place.root)), []);
      // Btrfs and ZFS free what was removed a little later.
      const deadline = Date.now() + 30_000;
      for (let fits = false; !fits;) {
        fits = await store
          .createSnapshot('small', (into) => writeFile(join(into, 'file'), 'fits again'))
          .then(
            () => true,
            (error: unknown) => {
              if (Date.now() > deadline) throw error;
              return false;
            },
          );
        if (!fits) await new Promise((resolve) => setTimeout(resolve, 200));
      }
      assert.deepEqual(await readdir(await store.clone('small', 'small')), ['file']);
    } finally {
      await removeAll(store);
      place.remove();
    }
  });
}

test('a ZFS pool that is not there is named, and nothing is made for it', async (context) => {
  const place = storePlace({ store: 'zfs', on: 'zfs' }, FULL_DISK_MB);
  if (typeof place === 'string') return context.skip(place);
  try {
    const store = place.driver.open(place.root.replace(/^[^?]+/, 'pomona-no-such-pool/builds'));
    await assert.rejects(store.recover(), {
      code: 'unsupported',
      message: 'there is no ZFS pool pomona-no-such-pool; `zpool list` shows those there are',
    });
  } finally {
    place.remove();
  }
});

test('a clone that does not fit is told as such and leaves nothing half-made', async (context) => {
  const place = storePlace({ store: 'rsync', on: 'ext4' }, FULL_DISK_MB);
  if (typeof place === 'string') return context.skip(place);
  try {
    const store = place.driver.open(place.root);
    await store.recover();
    // Twice does it fit, and not a third time.
    const bytes = Math.round((await store.diskSpace()).freeBytes * 0.4);
    await store.createSnapshot('big', (into) => writeFile(join(into, 'file'), randomBytes(bytes)));
    await store.clone('big', 'a');
    await assert.rejects(store.clone('big', 'b'), { code: 'no_space' });
    assert.deepEqual(await store.listClones(), ['a']);
    assert.deepEqual(await unfinished(place.root), []);
  } finally {
    place.remove();
  }
});

test('with mode=hardlink a snapshot shares what did not change, and nothing that did', async (context) => {
  const place = storePlace({ store: 'rsync', on: 'ext4', mode: 'hardlink' }, FULL_DISK_MB);
  if (typeof place === 'string') return context.skip(place);
  try {
    const store = place.driver.open(place.root);
    await store.recover();
    await store.createSnapshot('one', async (into) => {
      await writeFile(join(into, 'same'), 'same');
      await writeFile(join(into, 'sly'), 'before');
      await utimes(join(into, 'sly'), 1_000_000, 1_000_000);
    });
    const clone = await store.clone('one', 'work');
    // Size and time stay as they were.
    await writeFile(join(clone, 'sly'), 'AFTER!');
    await utimes(join(clone, 'sly'), 1_000_000, 1_000_000);
    await store.commit('work', 'two');
    const inode = async (id: string, name: string) =>
      store.withSnapshot(id, async (shown) => (await lstat(join(shown, name))).ino);
    assert.equal(await inode('one', 'same'), await inode('two', 'same'));
    assert.notEqual(await inode('one', 'sly'), await inode('two', 'sly'));
    await store.deleteSnapshot('one');
    assert.equal(
      await store.withSnapshot('two', (shown) => readFile(join(shown, 'same'), 'utf8')),
      'same',
    );
  } finally {
    place.remove();
  }
});

/** Children first, in whatever order they come. */
async function removeAll(store: Store): Promise<void> {
  for (const name of await store.listClones()) await store.deleteClone(name);
  for (
    let left = await store.listSnapshots(), before = Infinity;
    left.length > 0;
    left = await store.listSnapshots()
  ) {
    assert(left.length < before, `cannot be removed: ${left.join(' ')}`);
    before = left.length;
    for (const id of left) {
      await store.deleteSnapshot(id).catch((error: unknown) => {
        if (!(error instanceof StoreError && error.code === 'in_use')) throw error;
      });
    }
  }
}

/** What is being made in a store. */
async function unfinished(dir: string): Promise<string[]> {
  const owners = await readdir(join(dir, 'new'));
  const made = await Promise.all(
    owners.map((owner) => readdir(join(dir, 'new', owner)).catch(() => [])),
  );
  return made.flat();
}
