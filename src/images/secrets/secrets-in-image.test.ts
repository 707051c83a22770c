import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  imagePlaces,
  testThreads,
  writeDisk,
  type ImagePlaces,
} from '../../../test/image-tools.ts';
import { CHUNK_BYTES } from '../format/chunk.ts';
import { importImage } from '../import.ts';
import type { ImageProgress } from '../progress.ts';
import { pushImage, type PushOptions } from '../push.ts';
import { SecretsError, type Finding } from './secrets-in-image.ts';

const threads = testThreads();
const SIZE = 8 * CHUNK_BYTES;
const token = () => Buffer.from(`\nghp_${randomBytes(18).toString('hex')}\n`);

async function push(places: ImagePlaces, tag: string, from: string, options: PushOptions = {}) {
  const name = { name: 'image', tag };
  const { digest } = await importImage(places.here, threads, name, from);
  return pushImage(places.here, threads, digest, places.repository, name, options);
}

/** The findings for which a push is refused. */
async function refused(pushing: Promise<unknown>): Promise<readonly Finding[]> {
  const error = await pushing.then(
    () => assert.fail('it was sent'),
    (reason: unknown) => reason,
  );
  assert(error instanceof SecretsError, String(error));
  return error.findings;
}

test('a disk with a token across the edge of a chunk is refused, and nothing of it is sent', async () => {
  const places = await imagePlaces();
  const disk = join(places.dir, 'disk');
  const secret = token();
  const at = 3 * CHUNK_BYTES - 20;
  await writeDisk(disk, SIZE, [
    { at: 0, bytes: randomBytes(SIZE) },
    { at, bytes: secret },
  ]);
  const pushing = push(places, '1', disk);
  const [finding, ...more] = await refused(pushing);
  assert.deepEqual(
    [finding?.rule, finding?.path, finding?.offset, more],
    ['github-token', '', at + 1, []],
  );
  const { message } = (await pushing.catch((error: unknown) => error)) as Error;
  assert.match(message, /github-token-[0-9a-f]{12} {2}a token of GitHub: the disk, at byte 786413/);
  assert(!message.includes(secret.toString().trim()));
  assert.equal(existsSync(join(places.remoteDir, 'packs')), false);
  assert.equal(existsSync(join(places.remoteDir, 'tags')), false);
  const allow = new Set([finding?.id ?? '']);
  assert.ok((await push(places, '1', disk, { allow })).sentBytes > 0);
});

test('in a tree names tell too, and what is empty is no secret', async () => {
  const places = await imagePlaces();
  const tree = join(places.dir, 'tree');
  await mkdir(join(tree, 'home'), { recursive: true });
  await writeFile(join(tree, 'home/.bash_history'), 'export PASSWORD=x\n');
  await writeFile(join(tree, 'home/.zsh_history'), '');
  await writeFile(join(tree, 'home/.netrc'), 'machine a login b password c\n');
  const findings = await refused(push(places, '1', tree));
  assert.deepEqual(
    findings.map(({ rule, path }) => [rule, path]),
    [
      ['shell-history', 'home/.bash_history'],
      ['login-file', 'home/.netrc'],
    ],
  );
  const allow = new Set(findings.map(({ id }) => id));
  await push(places, '1', tree, { allow });
  await writeFile(join(tree, 'home/.bash_history'), 'export PASSWORD=another\n');
  const again = await refused(push(places, '2', tree, { allow }));
  assert.deepEqual(
    again.map(({ path }) => path),
    ['home/.bash_history'],
  );
});

test('of a second version only what is new is searched, and a secret that stayed is found again', async () => {
  const places = await imagePlaces();
  const [one, two] = [join(places.dir, 'one'), join(places.dir, 'two')];
  const data = randomBytes(SIZE);
  const parts = [
    { at: 0, bytes: data },
    { at: 5 * CHUNK_BYTES + 100, bytes: token() },
  ];
  const changed = { at: CHUNK_BYTES, bytes: randomBytes(100) };
  await writeDisk(one, SIZE, parts);
  await writeDisk(two, SIZE, [...parts, changed]);
  const searched = (progress: ImageProgress) => {
    if (progress.phase === 'search') totals.add(progress.totalBytes);
  };
  const totals = new Set<number>();
  const first = await refused(push(places, '1', one, { progress: searched }));
  assert.deepEqual([...totals], [SIZE]);
  totals.clear();
  await refused(push(places, '1', one, { progress: searched }));
  assert.deepEqual([...totals], [], 'what was searched is not searched again');
  const second = await refused(push(places, '2', two, { progress: searched }));
  // The chunk that changed, the one with the token, and the next, into which it could reach.
  assert.deepEqual([...totals], [3 * CHUNK_BYTES]);
  assert.deepEqual(second, first);
});
