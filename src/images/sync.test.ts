import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { VirtualTime } from '../../test/virtual-time.ts';
import { imagePlaces, testThreads, type ImagePlaces } from '../../test/image-tools.ts';
import { CHUNK_BYTES } from './format/chunk.ts';
import { evictImages } from './evict.ts';
import { importImage } from './import.ts';
import { pushImage } from './push.ts';
import { RateLimit } from './rate-limit.ts';
import { parseImageName } from './reference.ts';
import { syncImages } from './sync.ts';

const threads = testThreads();

/** Pushes an image of one chunk of new content. Returns its digest. */
async function publish(places: ImagePlaces, text: string): Promise<string> {
  const name = parseImageName(text);
  const file = join(places.dir, 'content');
  await writeFile(file, randomBytes(CHUNK_BYTES));
  const { digest } = await importImage(places.here, threads, name, file);
  await pushImage(places.here, threads, digest, places.repository, name);
  return digest;
}

const outcomes = (synced: Awaited<ReturnType<typeof syncImages>>) =>
  synced.map(({ name, tag, outcome }) => `${name}:${tag} ${outcome}`);

test('images are brought when the remote has other content, and told when it has none', async () => {
  const places = await imagePlaces();
  await publish(places, 'a');
  await publish(places, 'b:2');
  const sync = () => syncImages(places.there, threads, places.repository, ['a', 'b:2', 'c']);
  assert.deepEqual(outcomes(await sync()), ['a:latest pulled', 'b:2 pulled', 'c:latest absent']);
  const second = await publish(places, 'a');
  const again = await sync();
  assert.deepEqual(outcomes(again), ['a:latest pulled', 'b:2 current', 'c:latest absent']);
  assert.equal(await places.there.resolve('a'), second);
});

test('one image that cannot be had does not keep the others', async () => {
  const places = await imagePlaces();
  await publish(places, 'a');
  await publish(places, 'b');
  const { image } = await places.repository.tag(parseImageName('a'));
  await writeFile(join(places.remoteDir, 'images', `${image}.manifest`), 'damaged');
  const synced = await syncImages(places.there, threads, places.repository, ['a', 'b']);
  assert.deepEqual(outcomes(synced), ['a:latest failed', 'b:latest pulled']);
  assert.match(synced[0]?.reason ?? '', /is damaged; push the image again/);
});

test('within a budget the least recently used go, what is in use and what was made here stays', async () => {
  const places = await imagePlaces();
  const names = ['a', 'b', 'c', 'd'];
  const digests = new Map<string, string>();
  for (const name of names) digests.set(name, await publish(places, name));
  const { there } = places;
  await syncImages(there, threads, places.repository, names);
  await writeFile(join(places.dir, 'own'), randomBytes(CHUNK_BYTES));
  await importImage(there, threads, parseImageName('own'), join(places.dir, 'own'));
  const used = async (name: string, seconds: number) => {
    const digest = digests.get(name) ?? '';
    await there.markUsed(digest);
    await utimes(join(there.contentDir(digest), 'used.json'), seconds, seconds);
  };
  for (const [index, name] of ['b', 'a', 'd', 'c'].entries()) await used(name, 1_000 + index);
  const inUse = new Set([digests.get('a') ?? '']);
  assert.deepEqual(await evictImages(there, 5 * CHUNK_BYTES, inUse), []);
  const evicted = await evictImages(there, 3 * CHUNK_BYTES, inUse);
  assert.deepEqual(
    evicted.map(({ digest }) => digest),
    [digests.get('b'), digests.get('d')],
  );
  const left = (await there.tags()).map(({ name }) => name);
  assert.deepEqual(left.toSorted(), ['a', 'c', 'own']);
  await evictImages(there, 0, inUse);
  assert.deepEqual((await there.tags()).map(({ name }) => name).toSorted(), ['a', 'own']);
});

test('the older content of a name that moved goes when nothing uses it', async () => {
  const places = await imagePlaces();
  const first = await publish(places, 'a');
  const sync = () => syncImages(places.there, threads, places.repository, ['a']);
  await sync();
  const second = await publish(places, 'a');
  await sync();
  assert.deepEqual(await evictImages(places.there, Infinity, new Set([first])), []);
  const [gone] = await evictImages(places.there, Infinity, new Set());
  assert.deepEqual([gone?.digest, await places.there.digests()], [first, [second]]);
});

test('a rate lets through what it says, however many ask at once', async () => {
  const time = new VirtualTime();
  const limit = new RateLimit(1_000_000, time);
  let through = 0;
  const asking = Array.from({ length: 5 }, () => limit.take(20_000).then(() => (through += 1)));
  for (const expected of [1, 2, 3, 4, 5]) {
    // Each waits until those before are paid for, at 20 ms each; a hair less is not enough.
    await time.advance(expected === 1 ? 0 : 0.5);
    assert.equal(through, expected);
    await time.advance(19.5);
    assert.equal(through, expected);
  }
  await Promise.all(asking);
  await time.advance(1);
  await limit.take(1_000_000);
  const stop = AbortSignal.abort(new Error('enough'));
  await assert.rejects(limit.take(1, stop), /enough/);
});
