import { lstat, mkdir, rename, rmdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isMissing, readJson, writeJson } from '../../../platform/atomic-file.ts';
import { findProgram } from '../environment.ts';
import { SandboxError } from '../sandbox.ts';
import { tool } from '../../../platform/tool.ts';

/**
 * Shows directories of a clone at the paths where their files expect to be. macOS has no bind
 * mounts, so there are two ways, and the source's path is gone meanwhile in both:
 *
 * - `dataset`: the source is a ZFS dataset; its mountpoint is set to the target
 * - `move`: the directory is renamed to the target, which is on the same volume
 *
 * What is done is recorded before, in a file, so that another process can undo it.
 */
type Place = {
  readonly source: string;
  readonly target: string;
  /** The target was an empty directory, and will be again. */
  readonly targetWasThere: boolean;
} & ({ readonly by: 'move' } | { readonly by: 'dataset'; readonly dataset: string });

const UNMOUNT_ATTEMPTS = 5;
const UNMOUNT_PAUSE_MS = 200;
const MOUNT_ATTEMPTS = 20;

/** Puts `source` at `target`. Throws `bad_mount` when something is there, or it cannot be. */
export async function putInPlace(record: string, source: string, target: string): Promise<void> {
  const places = (await readJson<Place[]>(record)) ?? [];
  if (places.some((place) => place.source === source)) return;
  const targetWasThere = await assertFree(target);
  const dataset = await datasetAt(source);
  const common = { source, target, targetWasThere };
  const place: Place =
    dataset === undefined ? { ...common, by: 'move' } : { ...common, by: 'dataset', dataset };
  await mkdir(dirname(target), { recursive: true });
  await writeJson(record, [...places, place]);
  if (place.by === 'dataset') {
    const why = await setMountpoint(place.dataset, target);
    if (why !== undefined) {
      throw new SandboxError('bad_mount', `${place.dataset} cannot be at ${target}: ${why}`);
    }
    return;
  }
  try {
    await rename(source, target);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error;
    throw new SandboxError(
      'bad_mount',
      `${source} cannot be moved to ${target}, which is on another volume; ` +
        'put the store on that volume, or use a zfs store',
      { cause: error },
    );
  }
}

/**
 * Puts everything back that the record names, the last first. A dataset that is busy is unmounted
 * by force after `endUsers`, a few times; then it throws `unclean`, and may be called again.
 */
export async function putBack(record: string, endUsers: () => Promise<void>): Promise<void> {
  const places = (await readJson<Place[]>(record)) ?? [];
  while (places.length > 0) {
    const place = places.at(-1);
    if (place === undefined) break;
    if (place.by === 'dataset') {
      await remount(place.dataset, place.source, place.target, endUsers);
      // ZFS leaves the directories that it made to mount on.
      await rmdir(place.target).catch(() => undefined);
    } else if (!(await exists(place.source)) && (await exists(place.target))) {
      await rename(place.target, place.source);
    }
    if (place.targetWasThere) await mkdir(place.target, { recursive: true });
    places.pop();
    await writeJson(record, places);
  }
}

async function remount(
  dataset: string,
  source: string,
  target: string,
  endUsers: () => Promise<void>,
): Promise<void> {
  let why = '';
  for (let attempt = 1; attempt <= UNMOUNT_ATTEMPTS; attempt += 1) {
    const problem = await setMountpoint(dataset, source);
    if (problem === undefined) return;
    why = problem;
    await endUsers();
    await tool('umount', ['-f', target]);
    await new Promise((resolve) => setTimeout(resolve, UNMOUNT_PAUSE_MS * attempt));
  }
  throw new SandboxError('unclean', `${dataset} stays mounted at ${target}: ${why}`);
}

/** Moves a dataset's mount. Returns why it cannot be, if so. */
async function setMountpoint(dataset: string, dir: string): Promise<string | undefined> {
  const { code, why } = await tool('zfs', ['set', `mountpoint=${dir}`, dataset]);
  if (code === 0) return undefined;
  if (!why.includes('cannot mount')) return why;
  // It is set and unmounted; what was unmounted may be busy for a moment longer.
  for (let attempt = 1; attempt <= MOUNT_ATTEMPTS; attempt += 1) {
    await new Promise((resolve) => setTimeout(resolve, UNMOUNT_PAUSE_MS));
    const mount = await tool('zfs', ['mount', dataset]);
    if (mount.code === 0 || mount.why.includes('already mounted')) return undefined;
  }
  return why;
}

/** The dataset mounted at exactly this directory. */
async function datasetAt(dir: string): Promise<string | undefined> {
  if ((await findProgram('zfs')) === undefined) return undefined;
  const { code, stdout } = await tool('zfs', ['list', '-H', '-o', 'name,mountpoint', dir]);
  const [dataset, mountpoint] = stdout.trimEnd().split('\t');
  return code === 0 && mountpoint === dir ? dataset : undefined;
}

/** Is an empty directory there? Anything else is not ours to move. */
async function assertFree(target: string): Promise<boolean> {
  if (!(await exists(target))) return false;
  try {
    // Only an empty directory can be removed so.
    await rmdir(target);
  } catch (error) {
    throw new SandboxError(
      'bad_mount',
      `${target} is in the way: it is no empty directory; move it elsewhere on this host`,
      { cause: error },
    );
  }
  return true;
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
