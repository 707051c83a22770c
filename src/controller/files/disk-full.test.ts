import assert from 'node:assert/strict';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { NO_SMALL_FS, smallFs } from '../../../test/small-fs.ts';
import { encodeFrame } from '../../protocol/log-frames.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { LogStore } from '../logs/log-store.ts';
import { ArtifactStore } from './artifact-store.ts';

const diskFull = (error: unknown) => error instanceof ProblemError && error.code === 'disk_full';

describe('a full disk', { skip: NO_SMALL_FS }, () => {
  it('is answered with disk_full, and the log goes on where it was once there is room', async (t) => {
    const dir = await smallFs(t, 512 * 1024);
    const filler = join(dir, 'filler');
    await writeFile(filler, Buffer.alloc(300 * 1024));
    const store = new LogStore(join(dir, 'logs'));
    const frame = encodeFrame(1, Buffer.alloc(65_000, 'x'));
    const first = await store.append('j-1', 1, 0, frame);
    const much = Buffer.concat(Array.from({ length: 4 }, () => frame));
    await assert.rejects(store.append('j-1', 1, first, much), diskFull);
    assert.equal(await store.size('j-1', 1), first);
    assert.equal(await new LogStore(join(dir, 'logs')).size('j-1', 1), first);
    await rm(filler);
    assert.equal(await store.append('j-1', 1, first, much), 5 * frame.length);
    let bytes = 0;
    for await (const piece of store.read('j-1', 1, 0)) bytes += piece.length;
    assert.equal(bytes, 5 * frame.length);
  });

  it('leaves nothing of a file that did not fit', async (t) => {
    const dir = await smallFs(t, 256 * 1024);
    const store = new ArtifactStore(dir, 10_000_000);
    const large = async function* () {
      for (let n = 0; n < 10; n += 1) yield Buffer.alloc(100 * 1024);
    };
    await assert.rejects(store.put('j-1', 1, large()), diskFull);
    assert.deepEqual(await readdir(dir, { recursive: true }), ['incoming']);
    const small = async function* () {
      yield Buffer.alloc(1024);
    };
    assert.equal((await store.put('j-1', 1, small())).size, 1024);
  });
});
