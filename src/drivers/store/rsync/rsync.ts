import { mkdir } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { mustRun, tool } from '../../../platform/tool.ts';
import { copyTree, removeTree } from '../../../platform/tree.ts';
import {
  DirectoryStore,
  directoryCapabilities,
  type DirectoryOperations,
} from '../directory-store.ts';
import { tryStore } from '../probe.ts';
import { StoreError, type StoreDriver } from '../store.ts';
import { shareTree } from './share-tree.ts';

const FORM = '/directory[?mode=copy|hardlink]';
/** A tree of many files takes its time. */
const TIMEOUT_MS = 24 * 3_600_000;
/** What `copyTree` keeps, and nothing else: no devices, pipes and sockets; times in full. */
const KEEP_ALL = ['--recursive', '--links', '--perms', '--times', '--owner', '--group'];
const EXACTLY = ['--hard-links', '--xattrs', '--sparse', '--numeric-ids', '--quiet'];

/**
 * Directories copied by rsync, for file systems that share nothing. With `mode=hardlink` a snapshot
 * shares with the one it was made from the files that did not change. Where there is no rsync, our
 * own copies do the same.
 */
export const rsyncDriver: StoreDriver = {
  name: 'rsync',
  form: FORM,
  dirOf: (root) => placeOf(root).dir,
  // Below `copy`, which does the same for clones with less.
  rank: 8,
  async probe(root) {
    const { dir } = placeOf(root);
    const report = { name: rsyncDriver.name, rank: rsyncDriver.rank };
    const probe = `${dir}/probe-${process.pid}`;
    try {
      await tryStore(rsyncDriver.open(probe));
      const by = (await hasRsync()) ? 'rsync' : 'our own copies, since there is no rsync';
      return { ...report, available: true, detail: `copies every byte, by ${by}` };
    } catch (error) {
      return { ...report, available: false, detail: (error as Error).message };
    } finally {
      await removeTree(probe);
    }
  },
  open(root) {
    const { dir, hardlink } = placeOf(root);
    return new DirectoryStore('rsync', directoryCapabilities('copy'), dir, {
      make: async (to) => void (await mkdir(to, { mode: 0o711 })),
      copy,
      freeze: async () => undefined,
      remove: removeTree,
      ...(hardlink ? { share } : {}),
    });
  },
};

function placeOf(root: string): { readonly dir: string; readonly hardlink: boolean } {
  const [, dir = '', mode = 'copy'] = /^([^?]+)(?:\?mode=(copy|hardlink))?$/.exec(root) ?? [];
  if (isAbsolute(dir)) return { dir, hardlink: mode === 'hardlink' };
  throw new StoreError('bad_place', `expected rsync:${FORM}, the directory an absolute one`);
}

const copy: DirectoryOperations['copy'] = async (from, to, signal) => {
  await mkdir(to, { mode: 0o700 });
  if (await hasRsync()) await rsync([], from, to, signal);
  else await copyTree(from, to, { reflink: false, signal });
};

const share: NonNullable<DirectoryOperations['share']> = async (from, to, parent) => {
  await mkdir(to, { mode: 0o700 });
  // By content, not by size and time: what a command wrote may have kept both.
  if (await hasRsync()) await rsync(['--checksum', `--link-dest=${parent}`], from, to);
  else await shareTree(from, to, parent);
};

async function rsync(
  options: readonly string[],
  from: string,
  to: string,
  signal?: AbortSignal,
): Promise<void> {
  signal?.throwIfAborted();
  // Owners are root's to give.
  const owners = process.getuid?.() === 0 ? KEEP_ALL : KEEP_ALL.slice(0, -2);
  const args = [...owners, ...EXACTLY, ...options, '--', `${from}/`, `${to}/`];
  try {
    await mustRun('rsync', args, { timeoutMs: TIMEOUT_MS, ...(signal && { signal }) });
  } catch (error) {
    signal?.throwIfAborted();
    const full = /No space left on device|Disk quota exceeded/.test((error as Error).message);
    if (!full) throw error;
    throw Object.assign(new Error('rsync: no space left on device', { cause: error }), {
      code: 'ENOSPC',
    });
  }
}

let found: Promise<boolean> | undefined;

function hasRsync(): Promise<boolean> {
  // What macOS has by that name is another program, without most of these options.
  found ??= tool('rsync', ['--version']).then(
    ({ code, stdout }) => code === 0 && /^rsync\s+version [3-9]/.test(stdout),
    () => false,
  );
  return found;
}
