import {
  chmod,
  chown,
  copyFile,
  lstat,
  mkdir,
  readlink,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isMissing, readJson, writeJson } from '../../platform/atomic-file.ts';
import { removeTree } from '../../platform/tree.ts';
import { SandboxError, type Mount, type SandboxSpec } from './sandbox.ts';

/** A directory of the host, and where the inside sees it. */
export interface Shown {
  readonly inside: string;
  readonly dir: string;
  readonly readOnly?: boolean;
}

/** As a kernel allows on one path. */
const MAX_LINKS = 40;

/**
 * The path that `target` means inside, where `shown` is what is there: links are followed as the
 * inside follows them, so that the result has none, and names a place in one of `shown` whatever
 * links a job left there. The end of the path need not exist.
 */
export async function resolveInside(shown: readonly Shown[], target: string): Promise<string> {
  let pending = parts(target);
  let at = '/';
  for (let links = 0; pending.length > 0;) {
    const [next = '', ...rest] = pending;
    pending = rest;
    const path = next === '..' ? dirname(at) : join(at, next);
    const host = hostPath(shown, path);
    if (host === undefined && !shown.some(({ inside }) => isBelow(inside, path))) {
      const where = shown.map(({ inside }) => inside).join(', ');
      throw badMount(target, `it leads to ${path}, which is not below ${where}`);
    }
    const link = host === undefined || next === '..' ? undefined : await linkAt(host, shown);
    if (link === undefined) {
      at = path;
      continue;
    }
    links += 1;
    if (links > MAX_LINKS) throw badMount(target, 'its links go round in circles');
    pending = [...parts(link), ...pending];
    if (link.startsWith('/')) at = '/';
  }
  return at;
}

async function linkAt(host: string, shown: readonly Shown[]): Promise<string | undefined> {
  if (shown.some(({ dir }) => dir === host)) return undefined;
  try {
    return (await lstat(host)).isSymbolicLink() ? await readlink(host) : undefined;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Where the host has what the inside sees at `path`, a path without links. */
export function hostPath(shown: readonly Shown[], path: string): string | undefined {
  // What was mounted last is on top.
  const found = shown.findLast(({ inside }) => path === inside || isBelow(path, inside));
  return found === undefined ? undefined : join(found.dir, path.slice(found.inside.length));
}

function isBelow(path: string, above: string): boolean {
  return path !== above && path.startsWith(above.endsWith('/') ? above : `${above}/`);
}

function parts(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.');
}

function badMount(target: string, why: string): SandboxError {
  return new SandboxError('bad_mount', `nothing can be mounted at ${target}: ${why}`);
}

/** Owner of what is made; undefined where only root could give files away. */
type Owner = { readonly uid: number; readonly gid: number } | undefined;

/**
 * Makes the places of the spec's mounts and returns the mounts with targets free of links, in
 * order. A file becomes a copy of the environment's own that only the job's user can read.
 * What is made for files is recorded first, for `removeMountPoints`.
 */
export async function makeMountPoints(
  spec: SandboxSpec,
  shown: readonly Shown[],
  owner: Owner,
): Promise<Mount[]> {
  const made: Mount[] = [];
  const visible = [...shown];
  for (const [index, { source, target, readOnly }] of spec.mounts.entries()) {
    const kind = await stat(source).catch((error: unknown) => {
      if (!isMissing(error)) throw error;
      throw new SandboxError('bad_mount', `${source}, to be mounted at ${target}, does not exist`);
    });
    const resolved = await resolveInside(visible, target);
    if (visible.some(({ inside, dir }) => inside === resolved && dir !== source)) {
      throw badMount(target, 'it would hide all that is there');
    }
    if (kind.isDirectory()) {
      await makePlace(spec, visible, resolved, 'directory', owner);
      made.push({ source, target: resolved, readOnly });
      visible.push({ inside: resolved, dir: source, readOnly });
    } else {
      const copy = await privateCopy(spec, source, index, owner);
      await makePlace(spec, visible, resolved, 'file', owner);
      made.push({ source: copy, target: resolved, readOnly: true });
    }
  }
  return made;
}

/** Makes a place to mount at, at a path without links. */
export async function makePlace(
  spec: SandboxSpec,
  shown: readonly Shown[],
  path: string,
  kind: 'directory' | 'file',
  owner: Owner,
): Promise<void> {
  const host = hostPath(shown, path);
  // Above all that is shown: the sandbox makes it.
  if (host === undefined) return;
  const there = await lstat(host).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') {
      throw badMount(path, `${dirname(path)} is not a directory`);
    }
    if (!isMissing(error)) throw error;
  });
  if (there !== undefined) {
    if (there.isDirectory() === (kind === 'directory')) return;
    throw badMount(path, `what is there is ${there.isDirectory() ? 'a' : 'no'} directory`);
  }
  if (shown.some(({ inside, readOnly }) => readOnly === true && isBelow(path, inside))) {
    throw badMount(path, 'it does not exist and is in a read-only mount');
  }
  await makePlace(spec, shown, dirname(path), 'directory', owner);
  if (kind === 'directory') {
    await mkdir(host);
  } else {
    const { dir, inside } = shown.findLast((each) => isBelow(path, each.inside)) ?? ROOT;
    const record = (await readJson<MadeFile[]>(recordOf(spec))) ?? [];
    const rest = join('/', path.slice(inside.length));
    await writeJson(recordOf(spec), [...record, { dir, path: rest }] satisfies MadeFile[]);
    await writeFile(host, '', { flag: 'wx', mode: 0o644 });
  }
  if (owner !== undefined) await chown(host, owner.uid, owner.gid);
}

/** Removes what was made for files, wherever the job put it. Idempotent. */
export async function removeMountPoints(spec: SandboxSpec): Promise<void> {
  for (const { dir, path } of (await readJson<MadeFile[]>(recordOf(spec))) ?? []) {
    try {
      // The job may have put a link in the way.
      if ((await resolveInside([{ inside: '/', dir }], path)) !== path) continue;
      const there = await lstat(join(dir, path));
      if (there.isFile() && there.size === 0) await rm(join(dir, path));
    } catch (error) {
      if (!isMissing(error) && !(error instanceof SandboxError)) throw error;
    }
  }
  await rm(recordOf(spec), { force: true });
  await removeTree(secretsDir(spec));
}

/** An empty file made to mount on: its path below a directory of the host. */
interface MadeFile {
  readonly dir: string;
  readonly path: string;
}

const ROOT: Shown = { inside: '/', dir: '/' };

function recordOf(spec: SandboxSpec): string {
  return join(spec.tmpDir, 'mount-points.json');
}

/** Where the environment's copies of files are. */
export function secretsDir(spec: SandboxSpec): string {
  return join(spec.tmpDir, 'secrets');
}

async function privateCopy(
  spec: SandboxSpec,
  source: string,
  index: number,
  owner: Owner,
): Promise<string> {
  const dir = secretsDir(spec);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const name = basename(source);
  const first = spec.mounts.findIndex((mount) => basename(mount.source) === name);
  const copy = join(dir, first === index ? name : `${index}-${name}`);
  await rm(copy, { force: true });
  await copyFile(source, copy);
  await chmod(copy, 0o400);
  if (owner !== undefined) {
    await chown(copy, owner.uid, owner.gid);
    await chown(dir, owner.uid, owner.gid);
  }
  return copy;
}
