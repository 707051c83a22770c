import { tool } from '../../../platform/tool.ts';
import { StoreError } from '../store.ts';
import { ignoring, isProblem, zfs } from './zfs-command.ts';

/** Mounts a dataset where it is set to be. One that is mounted is left alone. */
export async function mount(dataset: string): Promise<void> {
  try {
    await zfs('mount', dataset);
  } catch (error) {
    if (!/already mounted/.test((error as Error).message)) throw error;
  }
}

/**
 * Unmounts a dataset from wherever it is and leaves it nowhere: by force when it stays busy, and
 * then out of everyone's sight. What is not mounted is no error.
 */
export async function unmount(dataset: string): Promise<void> {
  try {
    await zfs('set', 'mountpoint=none', dataset);
    return;
  } catch (error) {
    if (isProblem(error, 'missing')) return;
    // A full pool takes no property.
    if (!isProblem(error, 'busy', 'full')) throw error;
  }
  const dir = (await zfs('get', '-H', '-o', 'value', 'mountpoint', dataset)).trim();
  try {
    await zfs('unmount', '-f', dataset);
  } catch (error) {
    if (/not currently mounted/.test((error as Error).message)) return;
    await tool(...detached(dir));
  }
  await zfs('set', 'mountpoint=none', dataset).catch(ignoring('missing', 'full'));
}

/** Shows a snapshot itself, where ZFS can. Throws `StoreError` `io`. */
export async function mountSnapshot(snapshot: string, dir: string): Promise<void> {
  const { code, why } = await tool('mount', ['-t', 'zfs', '-o', 'ro', snapshot, dir]);
  if (code !== 0) throw new StoreError('io', `${snapshot} cannot be mounted: ${why}`);
}

/** Takes a mount away although it is in use. */
function detached(dir: string): [file: string, args: string[]] {
  return process.platform === 'darwin'
    ? ['diskutil', ['unmount', 'force', dir]]
    : ['umount', ['-l', dir]];
}
