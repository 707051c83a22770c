import { chmod, chown, copyFile, lstat, mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isMissing, readJson, writeJson } from '../../platform/atomic-file.ts';
import {
  hostPath,
  InsidePathError,
  isBelow,
  resolveInside,
  type Shown,
} from '../../platform/inside-path.ts';
import { removeTree } from '../../platform/tree.ts';
import { SandboxError, type Mount, type SandboxSpec } from './sandbox.ts';

/** The path that `target` means inside, free of links. Throws `SandboxError` `bad_mount`. */
export async function resolveTarget(shown: readonly Shown[], target: string): Promise<string> {
  try {
    return await resolveInside(shown, target);
  } catch (error) {
    if (error instanceof InsidePathError) throw badMount(target, error.message);
    throw error;
  }
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
    const resolved = await resolveTarget(visible, target);
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
      if (!isMissing(error) && !(error instanceof InsidePathError)) throw error;
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
