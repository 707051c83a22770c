import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import fc from 'fast-check';
import { ChunkTable } from '../chunk-table.ts';
import { CHUNK_BYTES, chunkCount, chunkId, ID_BYTES, ZERO_ID } from './chunk.ts';
import {
  decodeManifest,
  encodeManifest,
  ImageFormatError,
  imageDigest,
  type Manifest,
} from './manifest.ts';
import { decodePlacement, encodePlacement } from './placement.ts';

const file = (path: string | Buffer, size: number): Manifest['entries'][number] => ({
  type: 'file',
  ...{ path: Buffer.from(path), mode: 0o644, mtimeMs: 5, size },
  ids: randomBytes(chunkCount(size) * ID_BYTES),
});

const tree: Manifest = {
  kind: 'tree',
  entries: [
    { type: 'directory', path: Buffer.from('d'), mode: 0o755, mtimeMs: 1 },
    file('d/a', CHUNK_BYTES + 1),
    { type: 'hard-link', path: Buffer.from('d/b'), target: Buffer.from('d/a') },
    { type: 'symlink', path: Buffer.from('d/c'), target: Buffer.from('../x y') },
    file(Buffer.from([0x64, 0x2f, 0xff, 0xfe]), 0),
  ],
};

test('a manifest reads back as it was written, names that are no UTF-8 included', () => {
  assert.deepEqual(decodeManifest(encodeManifest(tree)), tree);
});

test('a chunk of zeros has the id of zeros whatever its length, any other its SHA-256', () => {
  assert.equal(chunkId(Buffer.alloc(17)), ZERO_ID);
  assert.equal(
    chunkId(Buffer.from('abc')).toString('hex'),
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  );
});

test('no manifest names a place outside of its image', () => {
  for (const path of ['../x', 'a/../../x', '/etc/passwd', 'a//b', '.', 'a/.', 'x\0y', '']) {
    const bytes = encodeManifest({ kind: 'tree', entries: [file(path, 0)] });
    assert.throws(() => decodeManifest(bytes), ImageFormatError, path);
  }
  const named = encodeManifest({ kind: 'file', entries: [file('name', 0)] });
  assert.throws(() => decodeManifest(named), ImageFormatError);
});

test('damaged manifests and placements are refused and never crash', () => {
  const chunks = new ChunkTable();
  for (let n = 0; n < 10; n += 1) chunks.add(randomBytes(ID_BYTES), 0, [0, n, 1]);
  const placement = encodePlacement({ packs: ['0'.repeat(32)], chunks });
  const manifest = encodeManifest(tree);
  fc.assert(
    fc.property(fc.nat(), fc.nat(255), fc.nat(), (at, byte, cut) => {
      for (const [whole, decode] of [
        [manifest, decodeManifest],
        [placement, decodePlacement],
      ] as const) {
        const bytes = Buffer.from(
          whole.subarray(0, whole.length - (cut % 3 === 0 ? cut % whole.length : 0)),
        );
        if (bytes.length > 0) bytes[at % bytes.length] = byte;
        try {
          decode(bytes);
        } catch (error) {
          assert.ok(error instanceof ImageFormatError, String(error));
        }
      }
    }),
    { numRuns: 2_000 },
  );
});

test('a table finds every one of many ids, and no other', () => {
  const table = new ChunkTable();
  const ids = Array.from({ length: 50_000 }, () => randomBytes(ID_BYTES));
  for (const [n, id] of ids.entries()) assert.equal(table.add(id, 0, [n, n * 2, n * 3]), true);
  assert.equal(table.add(ids[7] ?? ZERO_ID, 0, [1, 1, 1]), false);
  assert.equal(table.size, ids.length);
  for (const [n, id] of ids.entries()) assert.deepEqual(table.get(id), [n, n * 2, n * 3]);
  for (let n = 0; n < 1_000; n += 1) assert.equal(table.has(randomBytes(ID_BYTES)), false);
  const shared = new ChunkTable(table.share());
  assert.deepEqual(shared.get(ids[9] ?? ZERO_ID), [9, 18, 27]);
});

test('the digests are those that the reference documents', async () => {
  const page = new URL('../../../docs/reference/image-format.md', import.meta.url);
  const vectors = [...(await readFile(page, 'utf8')).matchAll(/`(sha256:[0-9a-f]{64})`/g)];
  const disk = (bytes: Buffer): Manifest => {
    const ids: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      ids.push(chunkId(bytes.subarray(at, at + CHUNK_BYTES)));
    }
    const entry = { type: 'file', path: Buffer.alloc(0), mode: 0o644, mtimeMs: 0 } as const;
    return { kind: 'file', entries: [{ ...entry, size: bytes.length, ids: Buffer.concat(ids) }] };
  };
  assert.deepEqual(
    vectors.map(([, digest]) => digest),
    [{ kind: 'tree', entries: [] } as const, disk(Buffer.from('abc')), disk(Buffer.alloc(262_145))]
      .map(encodeManifest)
      .map(imageDigest),
  );
});
