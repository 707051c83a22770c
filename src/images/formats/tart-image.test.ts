import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, writeFileSync } from 'node:fs';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { rmSync } from 'node:fs';
import { RegistryServer } from '../../../test/oci-image.ts';
import { testThreads } from '../../../test/image-tools.ts';
import { openRegistry } from '../../drivers/fetch/oci/registry.ts';
import { Lz4Error, readAppleLz4 } from './apple-lz4.ts';
import { fetchTartImage } from './tart-image.ts';

const threads = testThreads();
const base = mkdtempSync(join(tmpdir(), 'pomona-tart-image-'));
after(() => rmSync(base, { recursive: true }));

const lacksLz4 = (() => {
  try {
    execFileSync('lz4', ['--version'], { stdio: 'pipe' });
    return false;
  } catch {
    return 'there is no lz4 (Debian: lz4)';
  }
})();

/** Some text, which packs well, and some bytes, which do not. */
function content(size: number): Buffer {
  const text = Buffer.from(
    Array.from({ length: 4_000 }, (_, n) => `line ${n % 97} of many\n`).join(''),
  );
  return Buffer.concat([text, randomBytes(50_000), Buffer.alloc(300_000), text, text], size);
}

/** Packed by the real lz4, in the framing of Apple. `mode`: `-BD` has blocks refer to earlier ones. */
function packed(bytes: Buffer, mode: '-BD' | '-BI'): Buffer {
  const frame = execFileSync('lz4', ['-c', '-9', '-B4', mode, '--no-frame-crc'], {
    ...{ input: bytes, maxBuffer: 2 ** 28 },
  });
  // Magic, flags, block size, header checksum; flags may add the content's size.
  const flags = frame[4] ?? 0;
  let at = 7 + ((flags & 8) === 0 ? 0 : 8);
  const parts: Buffer[] = [];
  for (let done = 0; ;) {
    const word = frame.readUInt32LE(at);
    if (word === 0) break;
    const [stored, size] = [word & 0x7fffffff, Math.min(2 ** 16, bytes.length - done)];
    const data = frame.subarray(at + 4, at + 4 + stored);
    const sizes = Buffer.alloc(8);
    sizes.writeUInt32LE(size, 0);
    sizes.writeUInt32LE(stored, 4);
    const isPlain = word >>> 31 === 1;
    parts.push(
      Buffer.from(isPlain ? 'bv4-' : 'bv41'),
      isPlain ? sizes.subarray(0, 4) : sizes,
      data,
    );
    at += 4 + stored;
    done += size;
  }
  return Buffer.concat([...parts, Buffer.from('bv4$')]);
}

function unpacked(bytes: Buffer): Buffer {
  const path = join(base, 'packed');
  writeFileSync(path, bytes);
  const fd = openSync(path, 'r');
  try {
    return Buffer.concat([...readAppleLz4(fd)].map((block) => Buffer.from(block)));
  } finally {
    closeSync(fd);
  }
}

describe('LZ4 as Apple frames it', { skip: lacksLz4 }, () => {
  for (const mode of ['-BI', '-BD'] as const) {
    test(`what lz4 ${mode} packs comes back`, () => {
      const parts: Buffer[] = [];
      const bytes = content(1_000_003);
      const path = join(base, 'one');
      writeFileSync(path, packed(bytes, mode));
      const fd = openSync(path, 'r');
      // Each block is good only until the next.
      for (const block of readAppleLz4(fd)) parts.push(Buffer.from(block));
      closeSync(fd);
      assert.ok(Buffer.concat(parts).equals(bytes));
    });
  }

  test('what is cut off or altered is refused, and never read or written beyond its place', () => {
    const whole = packed(content(300_000), '-BD');
    for (let tries = 0; tries < 300; tries += 1) {
      const bytes = Buffer.from(whole);
      const at = randomBytes(4).readUInt32LE() % bytes.length;
      if (tries % 2 === 0) bytes[at] = (bytes[at] ?? 0) ^ (1 + (tries % 255));
      const given = tries % 2 === 0 ? bytes : bytes.subarray(0, at);
      try {
        unpacked(given);
      } catch (error) {
        assert(error instanceof Lz4Error, String(error));
      }
    }
  });
});

describe('images that Tart pushed', { skip: lacksLz4 }, () => {
  const KIND = 'application/vnd.cirruslabs.tart';
  const SLICE = 2 ** 20;
  const disk = Buffer.concat([content(SLICE), Buffer.alloc(SLICE), content(SLICE / 2)]);

  /** A registry that has the image, as Tart pushes it, with slices of a megabyte. */
  async function pushed(change: (layers: Layer[]) => Layer[] = (layers) => layers) {
    const dir = mkdtempSync(join(base, 'registry-'));
    await mkdir(join(dir, 'blobs/sha256'), { recursive: true });
    const blob = async (bytes: Buffer, mediaType: string, annotations?: Record<string, string>) => {
      const hex = createHash('sha256').update(bytes).digest('hex');
      await writeFile(join(dir, 'blobs/sha256', hex), bytes);
      return { mediaType, digest: `sha256:${hex}`, size: bytes.length, annotations };
    };
    const slices = [];
    for (let at = 0; at < disk.length; at += SLICE) {
      const slice = disk.subarray(at, at + SLICE);
      const digest = `sha256:${createHash('sha256').update(slice).digest('hex')}`;
      const annotations = {
        'org.cirruslabs.tart.uncompressed-size': String(slice.length),
        'org.cirruslabs.tart.uncompressed-content-digest': digest,
      };
      slices.push(await blob(packed(slice, '-BD'), `${KIND}.disk.v2`, annotations));
    }
    const config = await blob(Buffer.from('{"os":"darwin"}'), `${KIND}.config.v1`);
    const nvram = await blob(randomBytes(64), `${KIND}.nvram.v1`);
    const layers = change([config, ...slices, nvram]);
    const manifest = { schemaVersion: 2, config, layers };
    const index = await blob(Buffer.from(JSON.stringify(manifest)), 'application/json');
    await writeFile(join(dir, 'index.json'), JSON.stringify({ manifests: [index] }));
    return RegistryServer.start(dir);
  }
  interface Layer {
    readonly mediaType: string;
    readonly digest: string;
    readonly size: number;
    readonly annotations?: Record<string, string> | undefined;
  }

  async function fetched(
    registry: RegistryServer,
    cache: string,
    signal = new AbortController().signal,
  ) {
    const dir = mkdtempSync(join(base, 'bundle-'));
    const { source, reference } = openRegistry(`${registry.host}/team/app:v1`, cache);
    await fetchTartImage(source, reference, dir, threads, { signal });
    return dir;
  }
  const newCache = () => mkdtempSync(join(base, 'cache-'));

  test('become the bundle of a machine, whose zeros take no room', async () => {
    const registry = await pushed();
    const cache = newCache();
    const dir = await fetched(registry, cache);
    assert.deepEqual((await readdir(dir)).toSorted(), ['config.json', 'disk.img', 'nvram.bin']);
    assert.ok((await readFile(join(dir, 'disk.img'))).equals(disk));
    assert.ok((await stat(join(dir, 'disk.img'))).blocks * 512 < disk.length - SLICE / 2);
    assert.deepEqual(await readdir(join(cache, 'blobs')), [], 'layers are not kept');
    await registry.close();
  });

  test('go on where they were interrupted', async () => {
    const registry = await pushed();
    const cache = newCache();
    let served = 0;
    registry.trouble = (request, response) => {
      if (!(request.url ?? '').includes('/blobs/')) return false;
      served += 1;
      if (served <= 3) return false;
      response.writeHead(403).end();
      return true;
    };
    await assert.rejects(fetched(registry, cache), /403/);
    registry.trouble = () => false;
    registry.requests.length = 0;
    const dir = await fetched(registry, cache);
    assert.ok((await readFile(join(dir, 'disk.img'))).equals(disk));
    const blobs = registry.requests.filter((url) => url.includes('/blobs/'));
    assert.equal(blobs.length, 2, blobs.join(' '));
    await registry.close();
  });

  test('are refused when a slice is not what it says, or they are of another kind', async () => {
    const altered = await pushed((layers) =>
      layers.map((layer, index) => {
        if (index !== 1) return layer;
        const digest = `sha256:${'0'.repeat(64)}`;
        const annotations = {
          ...layer.annotations,
          'org.cirruslabs.tart.uncompressed-content-digest': digest,
        };
        return { ...layer, annotations };
      }),
    );
    await assert.rejects(fetched(altered, newCache()), /is damaged: its content has the digest/);
    await altered.close();
    const old = await pushed((layers) =>
      layers.map((layer) => ({
        ...layer,
        mediaType: layer.mediaType.replace('disk.v2', 'disk.v1'),
      })),
    );
    await assert.rejects(fetched(old, newCache()), /first disk format; push it again/);
    await old.close();
    const other = await pushed((layers) => layers.slice(0, 1));
    await assert.rejects(fetched(other, newCache()), /is no image of Tart; it has layers of/);
    await other.close();
  });
});
