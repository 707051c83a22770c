import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { BlobError, type BlobStore } from '../../src/drivers/blob/blob.ts';
import { BLOB_DRIVERS, openBlobs } from '../../src/drivers/blob/drivers.ts';
import { smallFs, NO_SMALL_FS } from '../small-fs.ts';
import { startS3, type S3Server } from '../s3-server.ts';

/** Every driver of the family against the real thing. */
const PLACES: Readonly<
  Record<string, () => Promise<{ location: string; remove(): Promise<void> }>>
> = {
  file: async () => {
    const dir = await mkdtemp(join(tmpdir(), 'pomona-blob-'));
    return { location: `file://${dir}`, remove: () => rm(dir, { recursive: true }) };
  },
  s3: async () => {
    const server = await startS3();
    return { location: server.location('some/prefix'), remove: () => server.close() };
  },
};

test('every driver of the family is tried', () => {
  assert.deepEqual(Object.keys(PLACES).toSorted(), Object.keys(BLOB_DRIVERS).toSorted());
});

for (const [name, make] of Object.entries(PLACES)) {
  suite(`blob store ${name}`, () => {
    let place: Awaited<ReturnType<typeof make>>;
    let blobs: BlobStore;

    before(async () => {
      place = await make();
      blobs = await openBlobs(place.location);
    });
    after(async () => {
      blobs.close();
      await place.remove();
    });

    const code = (wanted: BlobError['code']) => (error: unknown) =>
      error instanceof BlobError && error.code === wanted;
    const keys = async (prefix: string): Promise<string[]> => {
      const found: string[] = [];
      for await (const { key } of blobs.list(prefix)) found.push(key);
      return found.toSorted();
    };

    test('what was put is there, whole and in parts, and can be replaced', async () => {
      await blobs.put('a/b.bin', Buffer.from('0123456789'));
      assert.equal((await blobs.get('a/b.bin')).toString(), '0123456789');
      assert.equal((await blobs.getRange('a/b.bin', 3, 4)).toString(), '3456');
      await blobs.put('a/b.bin', Buffer.from('new'));
      assert.equal((await blobs.get('a/b.bin')).toString(), 'new');
      await blobs.put('a/empty', Buffer.alloc(0));
      assert.equal((await blobs.get('a/empty')).length, 0);
    });

    test('what is not there is told as missing, and a range beyond the end as short', async () => {
      await assert.rejects(blobs.get('none'), code('missing'));
      await assert.rejects(blobs.getRange('none', 0, 1), code('missing'));
      await blobs.put('short', Buffer.from('abc'));
      await assert.rejects(blobs.getRange('short', 1, 5), code('short'));
      await assert.rejects(blobs.getRange('short', 10, 5), code('short'));
    });

    test('keys are listed by prefix with sizes and times, all pages of them', async () => {
      const now = Date.now();
      const many = Array.from({ length: 1_050 }, (_, index) => `many/${String(index)}`);
      for (let at = 0; at < many.length; at += 50) {
        await Promise.all(many.slice(at, at + 50).map((key) => blobs.put(key, Buffer.from('x'))));
      }
      await blobs.put('manyother', Buffer.from('x'));
      assert.deepEqual(await keys('many/'), many.toSorted());
      assert.deepEqual(
        await keys('many/104'),
        many.filter((key) => key.startsWith('many/104')).toSorted(),
      );
      assert.deepEqual(await keys('nothing/'), []);
      for await (const { bytes, modifiedMs } of blobs.list('manyother')) {
        assert.equal(bytes, 1);
        assert.ok(Math.abs(modifiedMs - now) < 60_000, String(modifiedMs - now));
      }
    });

    test('deleting may be repeated', async () => {
      await blobs.put('gone', Buffer.from('x'));
      await blobs.delete('gone');
      await blobs.delete('gone');
      await assert.rejects(blobs.get('gone'), code('missing'));
    });

    test('20 writers of one key leave one of their objects whole', async () => {
      const bodies = Array.from({ length: 20 }, (_, index) => Buffer.alloc(100_000, index));
      await Promise.all(bodies.map((body) => blobs.put('race', body)));
      const kept = await blobs.get('race');
      assert.ok(bodies.some((body) => body.equals(kept)));
    });

    test('an aborted call ends with the reason', async () => {
      await assert.rejects(blobs.put('aborted', Buffer.from('x'), AbortSignal.abort()));
      await assert.rejects(blobs.get('aborted'), code('missing'));
    });
  });
}

suite('what goes wrong with S3', () => {
  let server: S3Server;
  let blobs: BlobStore;
  before(async () => {
    server = await startS3();
    blobs = await openBlobs(server.location('p'));
    await blobs.put('object', Buffer.alloc(100_000, 7));
  });
  after(async () => {
    blobs.close();
    await server.close();
  });

  for (const kind of ['unavailable', 'cut', 'slow'] as const) {
    test(`a read whose answer is ${kind} at first succeeds`, async () => {
      server.trouble = [{ method: 'GET', path: '/object', kind }];
      assert.equal((await blobs.get('object')).length, 100_000);
      assert.deepEqual(server.trouble, []);
    });
  }

  test('a write that is answered with 503 is repeated', async () => {
    server.trouble = [{ method: 'PUT', path: '/written', kind: 'unavailable' }];
    await blobs.put('written', Buffer.from('text'));
    assert.equal((await blobs.get('written')).toString(), 'text');
  });

  test('a bucket that does not exist is told by its name', async () => {
    const wrong = await openBlobs(server.location('p').replace('//images/', '//nosuch/'));
    await assert.rejects(wrong.put('k', Buffer.from('x')), /there is no bucket nosuch/);
    wrong.close();
  });
});

test('a place that is none is told with what is expected', async () => {
  await assert.rejects(
    openBlobs('/just/a/path'),
    /expected s3:\/\/bucket\/prefix or file:\/\/\/dir/,
  );
  await assert.rejects(openBlobs('ftp://x/y'), /expected s3/);
});

test('a full disk is told, and the object is not there', { skip: NO_SMALL_FS }, async (t) => {
  const blobs = await openBlobs(`file://${await smallFs(t, 2 ** 20)}`);
  await assert.rejects(
    blobs.put('big', Buffer.alloc(2 ** 21)),
    (error) => error instanceof BlobError && error.code === 'no_space',
  );
  await assert.rejects(blobs.get('big'));
  await blobs.put('small', Buffer.from('x'));
});
