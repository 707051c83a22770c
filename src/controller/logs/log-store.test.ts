import assert from 'node:assert/strict';
import { appendFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { encodeFrame, LogFormatError } from '../../protocol/log-frames.ts';
import { collect } from '../../../test/http-harness.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { newDatabase } from '../../../test/database.ts';
import { migrate } from '../../db/migrate.ts';
import { openBlobs } from '../../drivers/blob/drivers.ts';
import type { LogFiles } from '../files/file-stores.ts';
import { BlobLogStore } from './blob-log-store.ts';
import { LOG_PIECE_BYTES, LogStore } from './log-store.ts';

async function newDir(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'pomona-logs-'));
  t.after(() => rm(dir, { recursive: true }));
  return dir;
}

const STORES: Readonly<Record<string, (t: TestContext) => Promise<LogFiles>>> = {
  'the log store': async (t) => new LogStore(await newDir(t)),
  'the log store in a blob store': async (t) => {
    const dir = await newDir(t);
    const db = await newDatabase(dir);
    t.after(() => db.close());
    await migrate(db);
    return new BlobLogStore(db, await openBlobs(`file://${dir}/blobs`));
  },
};

async function readAll(store: LogFiles, jobId: string, epoch: number, offset = 0): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of store.read(jobId, epoch, offset)) pieces.push(piece);
  return Buffer.concat(pieces);
}

const frames = (...texts: string[]) =>
  Buffer.concat(texts.map((text, index) => encodeFrame(index, Buffer.from(text))));

const wrongOffset = (offset: number) => (error: unknown) =>
  error instanceof ProblemError && error.code === 'wrong_offset' && error.extra.offset === offset;

for (const [name, newStore] of Object.entries(STORES)) {
  describe(name, () => {
    it('gives back what was appended, each hand-over for itself', async (t) => {
      const store = await newStore(t);
      const one = frames('a', 'b');
      assert.equal(await store.append('j-1', 1, 0, one), one.length);
      assert.equal(await store.append('j-1', 2, 0, frames('c')), 11);
      assert.deepEqual(await readAll(store, 'j-1', 1), one);
      assert.deepEqual(await readAll(store, 'j-1', 1, 11), one.subarray(11));
      assert.deepEqual(await readAll(store, 'j-1', 2), frames('c'));
      assert.equal(await store.size('j-1', 3), 0);
      assert.deepEqual(await readAll(store, 'j-1', 3), Buffer.alloc(0));
    });

    it('refuses bytes behind the end, saying where the end is, and keeps nothing of them', async (t) => {
      const store = await newStore(t);
      await assert.rejects(store.append('j-1', 1, 5, frames('a')), wrongOffset(0));
      assert.deepEqual(await collect(store.list()), []);
      await store.append('j-1', 1, 0, frames('a'));
      await assert.rejects(store.append('j-1', 1, 12, frames('b')), wrongOffset(11));
      assert.equal(await store.size('j-1', 1), 11);
    });

    it('ends up with the same bytes, however they are cut, repeated and sent at the same time', async (t) => {
      const store = await newStore(t);
      const whole = frames(...Array.from({ length: 40 }, (_, index) => `line ${index}\n`));
      const at = fc.integer({ min: 0, max: whole.length });
      let run = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(fc.tuple(at, at), { maxLength: 30 }), async (spans) => {
          const jobId = `j-${(run += 1)}`;
          await Promise.all(
            spans.map(async ([a, b]) => {
              const from = Math.min(a, b);
              const bytes = whole.subarray(from, Math.max(a, b));
              try {
                const size = await store.append(jobId, 1, from, bytes);
                assert(size >= from + bytes.length);
              } catch (error) {
                assert(error instanceof ProblemError && error.code === 'wrong_offset');
              }
            }),
          );
          const size = await store.size(jobId, 1);
          assert.equal(await store.append(jobId, 1, size, whole.subarray(size)), whole.length);
          assert.deepEqual(await readAll(store, jobId, 1), whole);
        }),
        { numRuns: 50 },
      );
    });

    it('keeps what arrived of a stream that breaks, and goes on behind it', async (t) => {
      const store = await newStore(t);
      const whole = frames('first', 'second');
      const breaking = async function* () {
        yield whole.subarray(0, 20);
        throw new Error('cable');
      };
      await assert.rejects(store.append('j-1', 1, 0, breaking()), /cable/);
      assert.equal(await store.size('j-1', 1), 20);
      assert.deepEqual(await readAll(store, 'j-1', 1), frames('first'));
      await store.append('j-1', 1, 20, whole.subarray(20));
      assert.deepEqual(await readAll(store, 'j-1', 1), whole);
    });

    it('gives large logs in bounded pieces of whole frames', async (t) => {
      const store = await newStore(t);
      const frame = encodeFrame(1, Buffer.alloc(65_536, 'x'));
      const whole = Buffer.concat(Array.from({ length: 20 }, () => frame));
      await store.append('j-1', 1, 0, whole);
      let got = 0;
      for await (const piece of store.read('j-1', 1, 0)) {
        assert(piece.length <= LOG_PIECE_BYTES);
        assert.equal(piece.length % frame.length, 0);
        got += piece.length;
      }
      assert.equal(got, whole.length);
    });

    it('finds the start of the frame at or before an offset', async (t) => {
      const store = await newStore(t);
      await store.append('j-1', 1, 0, frames('a', 'b', 'c'));
      const starts = [0, 1, 10, 11, 12, 33, 99].map((offset) => store.frameStart('j-1', 1, offset));
      assert.deepEqual(await Promise.all(starts), [0, 0, 0, 11, 11, 33, 33]);
    });

    it('says so when there is no frame where one was asked for', async (t) => {
      const store = await newStore(t);
      await store.append('j-1', 1, 0, Buffer.from('this is no log at all'));
      await assert.rejects(readAll(store, 'j-1', 1), LogFormatError);
    });

    it('tells of growth until it is told to stop', async (t) => {
      const store = await newStore(t);
      let rings = 0;
      const stop = store.onGrowth('j-1', 1, () => (rings += 1));
      await store.append('j-1', 1, 0, frames('a'));
      await store.append('j-1', 1, 0, frames('a'));
      await store.append('j-2', 1, 0, frames('a'));
      assert.equal(rings, 1);
      stop();
      stop();
      await store.append('j-1', 1, 11, frames('b'));
      assert.equal(rings, 1);
    });

    it('lists, flushes and removes the logs of a job', async (t) => {
      const store = await newStore(t);
      await store.append('j-12', 1, 0, frames('a'));
      await store.append('j-12', 2, 0, frames('b'));
      await store.append('j-2-12', 1, 0, frames('c'));
      await store.finish('j-12', 1);
      await store.finish('j-none', 1);
      const listed = async () => {
        const found = await collect(store.list());
        return found.map(({ id, bytes }) => [id, bytes]).toSorted();
      };
      assert.deepEqual(await listed(), [
        ['j-12', 22],
        ['j-2-12', 11],
      ]);
      await store.remove('j-12');
      await store.remove('j-none');
      assert.deepEqual(await listed(), [['j-2-12', 11]]);
      assert.equal(await store.append('j-12', 1, 0, frames('new')), 13);
    });

    it('takes no id or epoch that could lead out of its directory', async (t) => {
      const store = await newStore(t);
      for (const id of ['', '..', '../x', 'a/b', 'a..', 'A', 'j\0']) {
        assert.throws(() => store.size(id, 1), RangeError);
      }
      assert.throws(() => store.size('j-1', 0), RangeError);
      assert.throws(() => store.size('j-1', 1.5), RangeError);
    });
  });
}

it('the log store goes on after a crash at the length of the file', async (t) => {
  const dir = await newDir(t);
  const store = new LogStore(dir);
  await store.append('j-1', 1, 0, frames('a'));
  await appendFile(join(dir, '-1', 'j-1.1.log'), frames('a', 'b').subarray(11, 15));
  const next = new LogStore(dir);
  assert.equal(await next.size('j-1', 1), 15);
  assert.deepEqual(await readAll(next, 'j-1', 1), frames('a'));
  await next.append('j-1', 1, 11, frames('a', 'b').subarray(11));
  assert.deepEqual(await readAll(next, 'j-1', 1), frames('a', 'b'));
});

describe('a log in a blob store', () => {
  const line = (index: number) => encodeFrame(index, Buffer.alloc(60_000, index));

  it('becomes objects as it grows, and is in objects alone once it is complete', async (t) => {
    const dir = await newDir(t);
    const db = await newDatabase(dir);
    t.after(() => db.close());
    await migrate(db);
    const blobs = await openBlobs(`file://${dir}/blobs`);
    const store = new BlobLogStore(db, blobs);
    const whole = Buffer.concat(Array.from({ length: 200 }, (_, index) => line(index)));
    for (let at = 0; at < whole.length; at += 500_000) {
      await store.append('j-1', 1, at, whole.subarray(at, at + 500_000));
    }
    const objects = async () => (await collect(blobs.list('logs/'))).map(({ key }) => key);
    const loose = async () =>
      Number((await db.get<{ n: number }>('SELECT COUNT(*) AS n FROM log_pieces'))?.n);
    assert.ok((await objects()).length >= 2);
    assert.ok((await loose()) > 0);
    assert.deepEqual(await readAll(store, 'j-1', 1), whole);
    await store.finish('j-1', 1);
    assert.equal(await loose(), 0);
    // Another process, which never saw it grow.
    const later = new BlobLogStore(db, blobs);
    const offset = await later.frameStart('j-1', 1, 5_000_000);
    assert.deepEqual(await readAll(later, 'j-1', 1, offset), whole.subarray(offset));
    assert.equal(await later.append('j-1', 1, 0, whole), whole.length, 'sent again, it is there');
    await later.remove('j-1');
    assert.deepEqual(await objects(), []);
  });

  it('loses nothing when objects cannot be written', async (t) => {
    const dir = await newDir(t);
    const db = await newDatabase(dir);
    t.after(() => db.close());
    await migrate(db);
    const blobs = await openBlobs(`file://${dir}/blobs`);
    let fails = true;
    const put: typeof blobs.put = async (key, bytes) => {
      if (fails) throw new Error('the bucket is away');
      await blobs.put(key, bytes);
    };
    const store = new BlobLogStore(db, {
      ...{ location: blobs.location, put, get: (key) => blobs.get(key) },
      getRange: (key, offset, length) => blobs.getRange(key, offset, length),
      ...{ list: (prefix) => blobs.list(prefix), delete: (key) => blobs.delete(key) },
      close: () => undefined,
    });
    const whole = Buffer.concat(Array.from({ length: 80 }, (_, index) => line(index)));
    await assert.rejects(store.append('j-1', 1, 0, whole), /the bucket is away/);
    assert.equal(await store.size('j-1', 1), whole.length);
    fails = false;
    await store.finish('j-1', 1);
    assert.deepEqual(await readAll(store, 'j-1', 1), whole);
  });
});
