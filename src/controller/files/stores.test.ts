import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm, utimes, writeFile, mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { collect } from '../../../test/http-harness.ts';
import { ProblemError, type ProblemCode } from '../../protocol/problem.ts';
import { openBlobs } from '../../drivers/blob/drivers.ts';
import { ArtifactStore } from './artifact-store.ts';
import { BlobArtifactStore } from './blob-artifact-store.ts';
import { BlobSourceStore } from './blob-source-store.ts';
import type { ArtifactFiles, SourceFiles } from './file-stores.ts';
import type { KeptFile } from './kept-file.ts';
import { SourceStore } from './source-store.ts';

async function newDir(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'pomona-files-'));
  t.after(() => rm(dir, { recursive: true }));
  return dir;
}

async function* body(...texts: string[]): AsyncGenerator<Buffer> {
  for (const text of texts) yield Buffer.from(text);
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const problem = (code: ProblemCode) => (error: unknown) =>
  error instanceof ProblemError && error.code === code;

async function textOf(file: KeptFile | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  try {
    return Buffer.concat(await collect(file.read())).toString();
  } finally {
    await file.close();
  }
}

const SOURCES: Readonly<Record<string, (dir: string, limit: number) => Promise<SourceFiles>>> = {
  'the source store': async (dir, limit) => new SourceStore(dir, limit),
  'the source store in a blob store': async (dir, limit) =>
    new BlobSourceStore(await openBlobs(`file://${dir}/blobs`), join(dir, 'incoming'), limit),
};
const ARTIFACTS: Readonly<Record<string, (dir: string, limit: number) => Promise<ArtifactFiles>>> =
  {
    'the artifact store': async (dir, limit) => new ArtifactStore(dir, limit),
    'the artifact store in a blob store': async (dir, limit) =>
      new BlobArtifactStore(await openBlobs(`file://${dir}/blobs`), join(dir, 'incoming'), limit),
  };
/** What is there, but for what tells a directory to be a blob store. */
const filesIn = async (dir: string) =>
  (await readdir(dir, { recursive: true })).filter((name) => !name.startsWith('blobs'));

for (const [name, newSources] of Object.entries(SOURCES)) {
  describe(name, () => {
    it('keeps a source under its digest', async (t) => {
      const store = await newSources(await newDir(t), 100);
      const digest = `sha256:${sha256('hello')}`;
      assert.equal(await store.has(digest), false);
      assert.equal(await store.touch(digest), undefined);
      assert.equal((await store.put(digest, body('hel', 'lo'))).size, 5);
      assert.equal(await store.has(digest), true);
      assert.equal(await store.touch(digest), 5);
      assert.equal(await textOf(await store.open(digest)), 'hello');
      const listed = await collect(store.list());
      assert.deepEqual(
        listed.map(({ id, bytes }) => ({ id, bytes })),
        [{ id: digest, bytes: 5 }],
      );
      await store.remove(digest);
      assert.equal(await store.open(digest), undefined);
    });

    it('leaves nothing of a source that is broken, too large or has another digest', async (t) => {
      const dir = await newDir(t);
      const store = await newSources(dir, 4);
      const digest = `sha256:${sha256('hello')}`;
      await assert.rejects(store.put(digest, body('hel', 'lo')), problem('too_large'));
      await assert.rejects(store.put(digest, body('hell')), problem('invalid'));
      const breaking = async function* () {
        yield Buffer.from('he');
        throw new Error('cable');
      };
      await assert.rejects(store.put(digest, breaking()), /cable/);
      await assert.rejects(store.put('sha256:../x', body('')), problem('invalid'));
      assert.deepEqual(await filesIn(dir), ['incoming']);
    });

    it('clears away what a crash left half-way', async (t) => {
      const dir = await newDir(t);
      await mkdir(join(dir, 'incoming'));
      await writeFile(join(dir, 'incoming', 'half'), 'x');
      await writeFile(join(dir, 'incoming', 'of another controller'), 'x');
      const before = new Date(Date.now() - 2 * 3_600_000);
      await utimes(join(dir, 'incoming', 'half'), before, before);
      const store = await newSources(dir, 100);
      await store.put(`sha256:${sha256('a')}`, body('a'));
      assert.deepEqual(await readdir(join(dir, 'incoming')), ['of another controller']);
    });
  });
}

for (const [name, newArtifacts] of Object.entries(ARTIFACTS)) {
  describe(name, () => {
    it('keeps artifacts by job, hand-over and content', async (t) => {
      const store = await newArtifacts(await newDir(t), 100);
      assert.deepEqual(await store.put('j-1', 1, body('one')), { size: 3, sha256: sha256('one') });
      await store.put('j-1', 2, body('two'));
      await store.put('j-2', 1, body('three'));
      assert.equal(await textOf(await store.open('j-1', 1, sha256('one'))), 'one');
      assert.equal(await store.open('j-1', 2, sha256('one')), undefined);
      assert.equal(await store.open('j-1', 1, '../../x'), undefined);
      const listed = async () =>
        (await collect(store.list())).map(({ id, bytes }) => `${id} ${bytes}`).toSorted();
      assert.deepEqual(await listed(), ['j-1 6', 'j-2 5']);
      await store.remove('j-1');
      assert.deepEqual(await listed(), ['j-2 5']);
    });

    it('refuses an artifact over the limit and keeps nothing of it', async (t) => {
      const dir = await newDir(t);
      const store = await newArtifacts(dir, 3);
      await assert.rejects(store.put('j-1', 1, body('four')), problem('too_large'));
      assert.deepEqual(await filesIn(dir), ['incoming']);
      assert.throws(() => store.put('../j', 1, body('')), RangeError);
    });
  });
}
