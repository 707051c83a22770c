import { createHash, randomBytes } from 'node:crypto';
import {
  chmod,
  link,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  readlink,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { openBlobs } from '../src/drivers/blob/drivers.ts';
import { LocalImages } from '../src/images/local-images.ts';
import { Repository } from '../src/images/repository.ts';
import { Threads } from '../src/images/work/threads.ts';
import { removeTree } from '../src/platform/tree.ts';

/** Threads that end with the test file. */
export function testThreads(): Threads {
  const threads = new Threads(2);
  after(() => threads.close());
  return threads;
}

export interface ImagePlaces {
  readonly dir: string;
  /** Two machines, and a remote between them. */
  readonly here: LocalImages;
  readonly there: LocalImages;
  readonly remoteDir: string;
  readonly repository: Repository;
}

export async function imagePlaces(base: string = tmpdir()): Promise<ImagePlaces> {
  const dir = await mkdtemp(join(base, 'pomona-images-'));
  after(() => removeTree(dir));
  const remoteDir = join(dir, 'remote');
  return {
    dir,
    here: new LocalImages(join(dir, 'here')),
    there: new LocalImages(join(dir, 'there')),
    remoteDir,
    repository: new Repository(await openBlobs(`file://${remoteDir}`)),
  };
}

/** Writes a sparse disk: random bytes in some places, holes elsewhere. */
export async function writeDisk(
  path: string,
  size: number,
  parts: readonly { readonly at: number; readonly bytes: Buffer }[],
): Promise<void> {
  const file = await open(path, 'a+').then(async (made) => {
    await made.close();
    return open(path, 'r+');
  });
  try {
    await file.truncate(size);
    for (const { at, bytes } of parts) await file.write(bytes, 0, bytes.length, at);
  } finally {
    await file.close();
  }
}

/** A tree of everything that a VM bundle or a home may hold. */
export async function writeTree(dir: string): Promise<void> {
  await mkdir(join(dir, 'bundle.macvm/empty'), { recursive: true });
  await writeFile(join(dir, 'bundle.macvm/config.json'), '{}');
  await writeDisk(join(dir, 'bundle.macvm/disk.img'), 3_000_000, [
    { at: 1_000_000, bytes: randomBytes(400_000) },
  ]);
  await writeFile(join(dir, 'tool'), '#!/bin/sh\n', { mode: 0o755 });
  await link(join(dir, 'tool'), join(dir, 'same-tool'));
  await symlink('../outside or not', join(dir, 'link'));
  await writeFile(Buffer.concat([Buffer.from(`${dir}/`), Buffer.from([0xff, 0xfe])]), 'odd');
  await writeFile(join(dir, `${'long'.repeat(60)}`), 'long');
  await writeFile(join(dir, 'empty-file'), '');
  await chmod(join(dir, 'bundle.macvm/empty'), 0o500);
  await utimes(join(dir, 'bundle.macvm'), 1_000_000, 1_000_000);
}

/** A line for each thing in a tree, with all of it that an image keeps. */
export async function listTree(dir: string): Promise<string[]> {
  const lines: string[] = [];
  const visit = async (at: Buffer, path: string): Promise<void> => {
    for (const name of (await readdir(at, { encoding: 'buffer' })).toSorted(Buffer.compare)) {
      const full = Buffer.concat([at, Buffer.from('/'), name]);
      const below = `${path}/${name.toString('latin1')}`;
      const stats = await lstat(full);
      const mode = (stats.mode & 0o7777).toString(8);
      if (stats.isDirectory()) {
        lines.push(`${below} directory ${mode} ${Math.floor(stats.mtimeMs)}`);
        await visit(full, below);
      } else if (stats.isSymbolicLink()) {
        lines.push(`${below} link ${await readlink(full)}`);
      } else {
        const hash = createHash('sha256')
          .update(await readFile(full))
          .digest('hex');
        lines.push(`${below} ${mode} ${Math.floor(stats.mtimeMs)} ${stats.nlink} ${hash}`);
      }
    }
  };
  await visit(Buffer.from(dir), '');
  return lines;
}
