import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:https';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { imagePlaces, testThreads, writeDisk, writeTree } from '../../../test/image-tools.ts';
import { CHUNK_BYTES } from '../format/chunk.ts';
import { importImage } from '../import.ts';
import { LocalImages } from '../local-images.ts';
import { pullImage } from '../pull.ts';
import { pushImage } from '../push.ts';
import { PeerServer } from './peer-server.ts';
import { Peers } from './peers.ts';

const threads = testThreads();
const KEY = randomBytes(32);
const name = { name: 'disk', tag: '1' };
const SIZE = 70 * CHUNK_BYTES + 100;

/** A remote with an image, and a host that has it too and gives chunks of it. */
async function fleet(t: TestContext) {
  const places = await imagePlaces();
  const disk = join(places.dir, 'disk.img');
  await writeDisk(disk, SIZE, [{ at: 3 * CHUNK_BYTES, bytes: randomBytes(60 * CHUNK_BYTES) }]);
  const { digest } = await importImage(places.here, threads, name, disk);
  await pushImage(places.here, threads, digest, places.repository, name);
  const server = await PeerServer.listen(places.here, KEY, { host: '127.0.0.1', port: 0 });
  t.after(() => server.close());
  const address = `127.0.0.1:${server.port}`;
  const pull = (peers: Peers, images = places.there) => {
    t.after(() => peers.close());
    return pullImage(images, threads, places.repository, name, { peers });
  };
  return { ...places, disk, digest, address, server, pull };
}

test('what another host has is brought from there, whole and verified, and nothing from the remote', async (t) => {
  const { address, digest, pull, disk, there } = await fleet(t);
  const pulled = await pull(new Peers(KEY, [{ address, digests: [digest] }]));
  assert.deepEqual([pulled.fetchedBytes, pulled.peerBytes], [0, 60 * CHUNK_BYTES]);
  assert.ok((await readFile(there.dataPath(digest))).equals(await readFile(disk)));
});

test('a tree of many files comes from other hosts, too', async (t) => {
  const { here, there, repository, dir, address } = await fleet(t);
  const tree = join(dir, 'tree');
  const vm = { name: 'vm', tag: '1' };
  await mkdir(tree);
  await writeTree(tree);
  const { digest } = await importImage(here, threads, vm, tree);
  await pushImage(here, threads, digest, repository, vm);
  const peers = new Peers(KEY, [{ address, digests: [digest] }]);
  const pulled = await pullImage(there, threads, repository, vm, { peers });
  peers.close();
  assert.equal(pulled.fetchedBytes, 0);
});

test('a host without the key gets nothing, and the remote gives all', async (t) => {
  const { address, digest, pull } = await fleet(t);
  const pulled = await pull(new Peers(randomBytes(32), [{ address, digests: [digest] }]));
  assert.equal(pulled.peerBytes, 0);
  assert.ok(pulled.fetchedBytes > 0);
  const plain = new Promise((resolve) => {
    const url = `https://${address}/chunks/${digest}/0/3/1`;
    get(url, { rejectUnauthorized: false }, resolve).on('error', ({ message }) => resolve(message));
  });
  assert.equal(typeof (await plain), 'string');
});

test('what a peer has damaged, or has not, comes from the remote', async (t) => {
  const { address, digest, pull, here, disk, there, dir } = await fleet(t);
  const bytes = await readFile(here.dataPath(digest));
  bytes[10 * CHUNK_BYTES] = (bytes[10 * CHUNK_BYTES] ?? 0) ^ 1;
  await writeFile(here.dataPath(digest), bytes);
  const pulled = await pull(new Peers(KEY, [{ address, digests: [digest] }]));
  assert.ok(pulled.peerBytes > 0 && pulled.fetchedBytes > 0);
  assert.ok((await readFile(there.dataPath(digest))).equals(await readFile(disk)));
  await rm(here.contentDir(digest), { recursive: true });
  const third = new LocalImages(join(dir, 'third'));
  const without = await pull(new Peers(KEY, [{ address, digests: [digest] }]), third);
  assert.equal(without.peerBytes, 0);
  assert.deepEqual((await readdir(third.contentDir(digest))).includes('manifest'), true);
});

test('a peer that is gone is given up, and another is asked', async (t) => {
  const { address, digest, pull } = await fleet(t);
  const gone = { address: '127.0.0.1:9', digests: [digest] };
  const pulled = await pull(new Peers(KEY, [gone, { address, digests: [digest] }]));
  assert.deepEqual([pulled.fetchedBytes, pulled.peerBytes], [0, 60 * CHUNK_BYTES]);
});

test('a peer gives nothing but chunks of images', async (t) => {
  const { address, digest } = await fleet(t);
  const peers = new Peers(KEY, [{ address, digests: [digest] }]);
  t.after(() => peers.close());
  const range = { digest, entry: 0, first: 3, count: 1, length: CHUNK_BYTES };
  assert.equal((await peers.get(range, undefined))?.length, CHUNK_BYTES);
  for (const wrong of [{ entry: 7 }, { first: 4_000 }, { digest: `sha256:${'../'.repeat(8)}` }]) {
    const fresh = new Peers(KEY, [{ address, digests: [wrong.digest ?? digest] }]);
    t.after(() => fresh.close());
    assert.equal(await fresh.get({ ...range, ...wrong }, undefined), undefined);
  }
});
