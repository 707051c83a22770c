import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, realpath, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { BaseConfig, ResolvedBase } from '../../builder/bases.ts';
import { MACHINE_DIR } from '../../builder/machines/machines.ts';
import type { Machine } from '../../builder/spec/spec.ts';
import { FetchError } from '../../drivers/fetch/fetch.ts';
import { KnownDigests } from '../../drivers/fetch/known-digests.ts';
import { DISK_NAMES, vmDriverOf } from '../../drivers/vm/files.ts';
import { shareOrCopy, shareOrCopyFile } from '../../drivers/vm/share-or-copy.ts';
import { digestTree } from '../../platform/tree.ts';

interface Options {
  readonly contextDir: string;
  readonly cacheDir: string;
  readonly hostBases: boolean;
}

const QCOW2 = Buffer.from('QFI\xfb', 'latin1');

/** `vm:PATH`, a disk or the directory of a machine, or `ipsw:FILE`, from which macOS is installed. */
export async function machineBase(
  from: string,
  machine: Machine,
  { contextDir, cacheDir, hostBases }: Options,
): Promise<ResolvedBase> {
  if (!hostBases) {
    throw new FetchError('refused', 'a build on another host has no files of it as machines');
  }
  const [, kind = '', given = ''] = /^(vm|ipsw):(.+)$/s.exec(from) ?? [];
  const path = await realpath(resolve(contextDir, given)).catch((cause: unknown) => {
    throw new FetchError('missing', `${given} cannot be read`, { cause });
  });
  const known = new KnownDigests(join(cacheDir, kind));
  const isDirectory = (await stat(path)).isDirectory();
  if (kind === 'ipsw') {
    if (isDirectory)
      throw new FetchError('missing', `${given} is a directory, not a restore image`);
    return installed(path, machine, await known.of(path, () => fileDigest(path)));
  }
  if (isDirectory && vmDriverOf(await readdir(path)) === undefined) {
    throw new FetchError(
      'missing',
      `${given} is no machine: expected one of Tart or Parallels, or ${DISK_NAMES.join(' or ')} in it`,
    );
  }
  const digest = await known.of(path, () => (isDirectory ? digestTree(path) : fileDigest(path)));
  return { digest, fetch: (dir, { signal }) => asMachine(path, dir, signal) };
}

/** What it is made by counts: a machine of one hypervisor is none of another. */
function installed(path: string, machine: Machine, digest: string): ResolvedBase {
  const { driver, diskBytes } = machine;
  if (driver === undefined) {
    throw new FetchError(
      'missing',
      'what macOS is installed by is to be told: (machine (driver tart)) or (machine (driver parallels))',
    );
  }
  const whole = createHash('sha256').update(
    JSON.stringify(['ipsw', digest, driver, diskBytes ?? 0]),
  );
  return {
    digest: `sha256:${whole.digest('hex')}`,
    async fetch(_dir, { install }) {
      await install(path);
      return { layout: 'machine', env: {} };
    },
  };
}

/** Copies a disk, or the directory of a machine, to where a result has its machine. */
export async function asMachine(
  path: string,
  dir: string,
  signal: AbortSignal,
): Promise<BaseConfig> {
  const to = join(dir, MACHINE_DIR);
  await mkdir(to, { mode: 0o700 });
  if ((await stat(path)).isDirectory()) await shareOrCopy(path, to, signal);
  else {
    const name = (await isQcow2(path)) ? 'disk.qcow2' : 'disk.img';
    await shareOrCopyFile(path, join(to, name), signal);
  }
  return { layout: 'machine', env: {} };
}

async function isQcow2(path: string): Promise<boolean> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
    return bytesRead === 4 && buffer.equals(QCOW2);
  } finally {
    await file.close();
  }
}

async function fileDigest(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 2 ** 20 }), hash);
  return `sha256:${hash.digest('hex')}`;
}
