import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { loopFileSystem } from '../../test/loop-file-system.ts';
import {
  imagePlaces,
  listTree,
  testThreads,
  writeDisk,
  writeTree,
  type ImagePlaces,
} from '../../test/image-tools.ts';
import { NO_SMALL_FS, smallFs } from '../../test/small-fs.ts';
import { CHUNK_BYTES } from './format/chunk.ts';
import { collectGarbage } from './gc.ts';
import { importImage } from './import.ts';
import { LocalImages } from './local-images.ts';
import { pullImage } from './pull.ts';
import { pushImage } from './push.ts';
import { packKey } from './repository.ts';
import { verifyImage } from './verify.ts';

const MB = 2 ** 20;
const threads = testThreads();
const v1 = { name: 'disk', tag: '1' };
const v2 = { name: 'disk', tag: '2' };

/** A disk of 40 MB with 10 MB of data, and a second version with 1 MB of it changed and moved. */
async function twoDisks({ dir }: ImagePlaces): Promise<{ first: string; second: string }> {
  const [first, second] = [join(dir, 'v1.img'), join(dir, 'v2.img')];
  const data = randomBytes(10 * MB);
  await writeDisk(first, 40 * MB + 100, [{ at: 5 * MB, bytes: data }]);
  await writeDisk(second, 40 * MB + 100, [
    { at: 5 * MB, bytes: data },
    { at: 6 * MB, bytes: randomBytes(MB) },
    { at: 30 * MB, bytes: data.subarray(0, MB) },
    { at: 9 * MB, bytes: Buffer.alloc(MB) },
  ]);
  return { first, second };
}

async function push(places: ImagePlaces, name: { name: string; tag: string }, from: string) {
  const { digest } = await importImage(places.here, threads, name, from);
  return pushImage(places.here, threads, digest, places.repository, name);
}

async function packsOf({ remoteDir }: ImagePlaces): Promise<string[]> {
  const found = await readdir(join(remoteDir, 'packs'), { recursive: true });
  return found
    .filter((name) => name.endsWith('.pack'))
    .map((name) => join(remoteDir, 'packs', name));
}

test('a disk goes to a remote and comes back the same, and its holes stay holes', async () => {
  const places = await imagePlaces();
  const { first } = await twoDisks(places);
  const pushed = await push(places, v1, first);
  assert.ok(pushed.sentBytes >= 10 * MB && pushed.sentBytes < 10.1 * MB, String(pushed.sentBytes));
  const pulled = await pullImage(places.there, threads, places.repository, v1);
  assert.equal(pulled.digest, pushed.digest);
  const back = places.there.dataPath(pulled.digest);
  assert.ok((await readFile(back)).equals(await readFile(first)));
  assert.ok((await stat(back)).blocks * 512 < 11 * MB);
});

test('a tree comes back with modes, times, links, empty directories and any names', async () => {
  const places = await imagePlaces();
  const tree = join(places.dir, 'tree');
  await mkdir(tree);
  await writeTree(tree);
  const { digest } = await push(places, { name: 'vm', tag: 'a' }, tree);
  await pullImage(places.there, threads, places.repository, { name: 'vm', tag: 'a' });
  assert.deepEqual(await listTree(places.there.dataPath(digest)), await listTree(tree));
});

test('of a second version only what is new is sent and fetched', async () => {
  const places = await imagePlaces();
  const { first, second } = await twoDisks(places);
  await push(places, v1, first);
  await pullImage(places.there, threads, places.repository, v1);
  const pushed = await push(places, v2, second);
  assert.ok(pushed.sentBytes < 1.1 * MB, String(pushed.sentBytes));
  const pulled = await pullImage(places.there, threads, places.repository, v2);
  assert.ok(pulled.fetchedBytes < 1.1 * MB, String(pulled.fetchedBytes));
  const back = await readFile(places.there.dataPath(pulled.digest));
  assert.ok(back.equals(await readFile(second)));
});

test('pushing what is there already sends nothing, and pulling it fetches nothing', async () => {
  const places = await imagePlaces();
  const { first } = await twoDisks(places);
  await push(places, v1, first);
  const again = await push(places, v2, first);
  assert.deepEqual([again.sentBytes, again.packs], [0, 0]);
  await pullImage(places.there, threads, places.repository, v1);
  const pulled = await pullImage(places.there, threads, places.repository, v2);
  assert.equal(pulled.fetchedBytes, 0);
  assert.equal(await places.there.resolve('disk:2'), again.digest);
});

test('where blocks can be shared a second version takes only the room of its changes', async (t) => {
  const fs = loopFileSystem('xfs', 400);
  if (typeof fs === 'string') return t.skip(fs);
  t.after(() => fs.remove());
  const places = await imagePlaces(fs.dir);
  const { first, second } = await twoDisks(places);
  await push(places, v1, first);
  await pullImage(places.there, threads, places.repository, v1);
  await push(places, v2, second);
  const before = await freeBytes(fs.dir);
  const { digest } = await pullImage(places.there, threads, places.repository, v2);
  const took = before - (await freeBytes(fs.dir));
  assert.ok(took < 5 * MB, `${String(took)} bytes`);
  assert.ok((await readFile(places.there.dataPath(digest))).equals(await readFile(second)));
});

test('a local image that was altered is not built upon', async (t) => {
  const fs = loopFileSystem('xfs', 400);
  if (typeof fs === 'string') return t.skip(fs);
  t.after(() => fs.remove());
  const places = await imagePlaces(fs.dir);
  const { first, second } = await twoDisks(places);
  await push(places, v1, first);
  const { digest: old } = await pullImage(places.there, threads, places.repository, v1);
  await push(places, v2, second);
  await writeDisk(places.there.dataPath(old), 40 * MB + 100, [
    { at: 12 * MB + 17, bytes: Buffer.from('altered') },
  ]);
  const { digest } = await pullImage(places.there, threads, places.repository, v2);
  assert.ok((await readFile(places.there.dataPath(digest))).equals(await readFile(second)));
  const damage = await verifyImage(places.there, threads, old);
  assert.deepEqual(damage, [
    { path: '', offset: Math.floor((12 * MB + 17) / CHUNK_BYTES) * CHUNK_BYTES },
  ]);
});

test('an image that was altered after its import is not pushed', async () => {
  const places = await imagePlaces();
  const { first } = await twoDisks(places);
  const { digest } = await importImage(places.here, threads, v1, first);
  await writeDisk(places.here.dataPath(digest), 40 * MB + 100, [
    { at: 6 * MB, bytes: Buffer.from('altered') },
  ]);
  await assert.rejects(
    pushImage(places.here, threads, digest, places.repository, v1),
    /is not what was imported any more \(at byte 6291456\)/,
  );
  assert.deepEqual(await places.repository.tags(), []);
});

test('an object that was altered in the remote is told, and the image does not show', async () => {
  const places = await imagePlaces();
  const { first } = await twoDisks(places);
  await push(places, v1, first);
  const [pack = ''] = await packsOf(places);
  const bytes = await readFile(pack);
  bytes[5 * MB] = (bytes[5 * MB] ?? 0) ^ 1;
  await writeFile(pack, bytes);
  await assert.rejects(
    pullImage(places.there, threads, places.repository, v1),
    /\.pack is damaged at byte \d+; remove the object and push the image again/,
  );
  assert.deepEqual(await places.there.tags(), []);
  assert.deepEqual(await places.there.digests(), []);
  // The remedy that the message names works, and the pull goes on with what it has.
  await rm(pack);
  await places.repository.deleteTag(v1);
  await pushImage(places.here, threads, await places.here.resolve('disk:1'), places.repository, v1);
  const pulled = await pullImage(places.there, threads, places.repository, v1);
  assert.ok(pulled.fetchedBytes < 11 * MB);
  assert.ok((await readFile(places.there.dataPath(pulled.digest))).equals(await readFile(first)));
});

test('a pull that was interrupted goes on where it stopped', async () => {
  const places = await imagePlaces();
  const first = join(places.dir, 'big.img');
  await writeDisk(first, 80 * MB, [{ at: 0, bytes: randomBytes(80 * MB) }]);
  await push(places, v1, first);
  const stop = new AbortController();
  await assert.rejects(
    pullImage(places.there, threads, places.repository, v1, {
      signal: stop.signal,
      progress: ({ phase, doneBytes }) => {
        if (phase === 'download' && doneBytes > 30 * MB) stop.abort();
      },
    }),
  );
  assert.deepEqual(await places.there.tags(), []);
  const pulled = await pullImage(places.there, threads, places.repository, v1);
  assert.ok(pulled.fetchedBytes < 55 * MB, String(pulled.fetchedBytes));
  assert.ok(pulled.reusedBytes > 25 * MB, String(pulled.reusedBytes));
  assert.ok((await readFile(places.there.dataPath(pulled.digest))).equals(await readFile(first)));
});

test('a push that was interrupted goes on with the packs it had sent', async () => {
  const places = await imagePlaces();
  const first = join(places.dir, 'big.img');
  await writeDisk(first, 160 * MB, [{ at: 0, bytes: randomBytes(160 * MB) }]);
  const { digest } = await importImage(places.here, threads, v1, first);
  const stop = new AbortController();
  await assert.rejects(
    pushImage(places.here, threads, digest, places.repository, v1, {
      signal: stop.signal,
      progress: ({ phase, doneBytes }) => {
        if (phase === 'upload' && doneBytes > 120 * MB) stop.abort();
      },
    }),
  );
  assert.deepEqual(await places.repository.tags(), []);
  const sent = (await packsOf(places)).length;
  assert.ok(sent >= 1, String(sent));
  const pushed = await pushImage(places.here, threads, digest, places.repository, v1);
  assert.ok(pushed.sentBytes < 135 * MB, String(pushed.sentBytes));
  await pullImage(places.there, threads, places.repository, v1);
  assert.ok((await readFile(places.there.dataPath(digest))).equals(await readFile(first)));
});

test(
  'a full disk ends a pull with what to do, and the next goes on',
  { skip: NO_SMALL_FS },
  async (t: TestContext) => {
    const places = await imagePlaces();
    const first = join(places.dir, 'big.img');
    await writeDisk(first, 30 * MB, [{ at: 0, bytes: randomBytes(30 * MB) }]);
    await push(places, v1, first);
    const small = await smallFs(t, 20 * MB);
    const there = new LocalImages(small);
    await assert.rejects(
      pullImage(there, threads, places.repository, v1),
      /the disk of .* is full; make room and pull again, it goes on/,
    );
    assert.deepEqual(await there.tags(), []);
    assert.deepEqual(await there.digests(), []);
  },
);

test('gc marks first and removes later, and leaves what tags need', async () => {
  const places = await imagePlaces();
  const { first, second } = await twoDisks(places);
  await push(places, v1, first);
  await push(places, v2, second);
  assert.equal((await collectGarbage(places.repository)).markedPacks, 0);
  const only = await places.repository.placement(await places.repository.tag(v2));
  await places.repository.deleteTag(v2);
  const marked = await collectGarbage(places.repository);
  assert.deepEqual([marked.markedPacks, marked.removedPacks], [1, 0]);
  const removed = await collectGarbage(places.repository);
  assert.equal(removed.removedPacks, 1);
  const left = (await packsOf(places)).map((path) => path.slice(places.remoteDir.length + 1));
  assert.equal(left.length, 1);
  assert.ok(only.packs.map(packKey).includes(left[0] ?? ''));
  await pullImage(places.there, threads, places.repository, v1);
});

test('a push does not count on packs that gc is about to remove', async () => {
  const places = await imagePlaces();
  const { first } = await twoDisks(places);
  await push(places, v1, first);
  await places.repository.deleteTag(v1);
  await collectGarbage(places.repository);
  const again = await pushImage(
    places.here,
    threads,
    await places.here.resolve('disk:1'),
    places.repository,
    v1,
  );
  assert.ok(again.sentBytes >= 10 * MB);
  await collectGarbage(places.repository);
  await collectGarbage(places.repository);
  await pullImage(places.there, threads, places.repository, v1);
});

test('pushes and gc that race leave every tag whole', async () => {
  const places = await imagePlaces();
  const { first, second } = await twoDisks(places);
  const one = await importImage(places.here, threads, v1, first);
  const two = await importImage(places.here, threads, v2, second);
  let over = false;
  const collecting = (async () => {
    while (!over) await collectGarbage(places.repository);
  })();
  for (let round = 0; round < 15; round += 1) {
    await Promise.all([
      pushImage(places.here, threads, one.digest, places.repository, v1),
      pushImage(places.here, threads, two.digest, places.repository, v2),
      pushImage(
        places.here,
        threads,
        round % 2 === 0 ? one.digest : two.digest,
        places.repository,
        {
          name: 'other',
          tag: 'x',
        },
      ),
    ]);
    for (const tag of await places.repository.tags()) {
      const { packs } = await places.repository.placement(tag);
      for (const pack of packs) await places.repository.blobs.getRange(packKey(pack), 0, 1);
    }
    if (round % 3 === 2) {
      await places.repository.deleteTag(v1);
      await places.repository.deleteTag({ name: 'other', tag: 'x' });
    }
  }
  over = true;
  await collecting;
});

test('one host may push one image by several names at once', async () => {
  const places = await imagePlaces();
  const { first } = await twoDisks(places);
  const { digest } = await importImage(places.here, threads, v1, first);
  for (let round = 0; round < 4; round += 1) {
    const tags = ['a', 'b', 'c'].map((name) => ({ name, tag: String(round) }));
    await Promise.all(
      tags.map((name) => pushImage(places.here, threads, digest, places.repository, name)),
    );
    for (const name of tags) await places.repository.deleteTag(name);
    await collectGarbage(places.repository);
    await collectGarbage(places.repository);
  }
});

test('two hosts that push one tag leave one of the two images, whole', async () => {
  const places = await imagePlaces();
  const { first, second } = await twoDisks(places);
  const one = await importImage(places.here, threads, v1, first);
  const two = await importImage(places.there, threads, v1, second);
  await Promise.all([
    pushImage(places.here, threads, one.digest, places.repository, v1),
    pushImage(places.there, threads, two.digest, places.repository, v1),
  ]);
  const third = new LocalImages(join(places.dir, 'third'));
  const { digest } = await pullImage(third, threads, places.repository, v1);
  assert.ok([one.digest, two.digest].includes(digest));
  assert.deepEqual(await verifyImage(third, threads, digest), []);
});

test('a file that changes while it is imported is refused', async () => {
  const places = await imagePlaces();
  const path = join(places.dir, 'busy.img');
  await writeFile(path, randomBytes(64 * MB));
  let n = 0;
  await assert.rejects(
    importImage(places.here, threads, v1, path, {
      progress: () => {
        n += 1;
        if (n === 2) void writeFile(path, randomBytes(64 * MB));
      },
    }),
    /changed while it was read|became shorter/,
  );
  assert.deepEqual(await places.here.tags(), []);
});

test('an image that a remote does not have is told with those it has', async () => {
  const places = await imagePlaces();
  const { first } = await twoDisks(places);
  await push(places, v1, first);
  await assert.rejects(
    pullImage(places.there, threads, places.repository, v2),
    /has no image disk:2; it has disk:1/,
  );
});

async function freeBytes(dir: string): Promise<number> {
  const { bfree, bsize } = await statfs(dir);
  return bfree * bsize;
}

test('local gc removes images without a name and what dead imports left, and nothing else', async () => {
  const places = await imagePlaces();
  const { first, second } = await twoDisks(places);
  await importImage(places.here, threads, v1, first);
  const { digest } = await importImage(places.here, threads, v1, second);
  const dead = join(places.here.dir, 'new', '4194304-0123');
  await mkdir(dead, { recursive: true });
  const mine = await places.here.newDir();
  assert.equal((await places.here.removeUntagged()).length, 1);
  assert.deepEqual(await places.here.digests(), [digest]);
  await assert.rejects(stat(dead), { code: 'ENOENT' });
  assert.ok((await stat(mine)).isDirectory());
});
