import {
  chmod,
  chown,
  copyFile,
  lstat,
  mkdir,
  readlink,
  rename,
  rm,
  rmdir,
  symlink,
} from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing, readJson, writeJson } from '../../../platform/atomic-file.ts';
import {
  hostPath,
  InsidePathError,
  resolveInside,
  type Shown,
} from '../../../platform/inside-path.ts';
import { SandboxError, type Mount } from '../sandbox.ts';

/**
 * Caches and secrets in a home or prefix, without mounts: a link to the directory, a copy of the
 * file. What was at the target is put aside meanwhile. Each is recorded before it is made.
 */
interface Overlay {
  /** A directory of the clone, and the path in it without links. */
  readonly dir: string;
  readonly path: string;
  /** What a link leads to; absent for a copy. */
  readonly link?: string;
}

/** Lays the mounts, whose places exist, over the clone. */
export async function layOver(
  record: string,
  mounts: readonly Mount[],
  shown: readonly Shown[],
  owner: { readonly uid: number; readonly gid: number },
): Promise<void> {
  for (const { source, target } of mounts) {
    const overlay = await overlayFor(source, target, shown);
    const at = join(overlay.dir, overlay.path);
    const laid = (await readJson<Overlay[]>(record)) ?? [];
    if (laid.some((each) => each.dir === overlay.dir && each.path === overlay.path)) continue;
    await writeJson(record, [...laid, overlay]);
    await rename(at, aside(at));
    if (overlay.link !== undefined) {
      await symlink(overlay.link, at);
      continue;
    }
    await copyFile(source, at);
    await chmod(at, 0o400);
    await chown(at, owner.uid, owner.gid);
  }
}

async function overlayFor(
  source: string,
  target: string,
  shown: readonly Shown[],
): Promise<Overlay> {
  const root = shown.find(({ inside }) => target.startsWith(`${inside}/`));
  if (root === undefined || hostPath(shown, target) === undefined) {
    throw new SandboxError('bad_mount', `nothing can be mounted at ${target}`);
  }
  const where = { dir: root.dir, path: target.slice(root.inside.length) };
  return (await lstat(source)).isDirectory() ? { ...where, link: source } : where;
}

/** Takes away what was laid over, unless the job did, and puts back what was there before. */
export async function takeAway(record: string): Promise<void> {
  for (const overlay of ((await readJson<Overlay[]>(record)) ?? []).toReversed()) {
    const { dir, path, link } = overlay;
    try {
      // The job may have put a link in the way.
      const parent = join(path, '..');
      if ((await resolveInside([{ inside: '/', dir }], parent)) !== parent) continue;
      const at = join(dir, path);
      await removeOurs(at, link);
      await mkdir(join(dir, parent), { recursive: true });
      await rename(aside(at), at);
    } catch (error) {
      // What the job put there instead stays; so does what it took away.
      if (!isMissing(error) && !(error instanceof InsidePathError)) throw error;
    }
  }
  await rm(record, { force: true });
}

async function removeOurs(at: string, link: string | undefined): Promise<void> {
  try {
    const there = await lstat(at);
    if (link === undefined ? there.isFile() : there.isSymbolicLink()) {
      if (link === undefined || (await readlink(at)) === link) await rm(at);
    } else if (there.isDirectory()) {
      await rmdir(at);
    }
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

function aside(path: string): string {
  return `${path}.pomona-aside`;
}
