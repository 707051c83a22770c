import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  truncateSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface ZfsPool {
  readonly name: string;
  /** What the driver of stores opens. */
  readonly root: string;
  readonly dir: string;
  remove(): void;
}

/**
 * Makes a pool in a file. Returns the reason, as text, where this machine cannot.
 */
export function zfsPool(megabytes: number): ZfsPool | string {
  if (process.env['POMONA_TEST_STORE'] !== 'zfs') {
    return 'the tests of ZFS run by themselves, at the end of `npm test`: scripts/test-zfs.sh';
  }
  if (process.getuid?.() !== 0) return 'a ZFS pool in a file needs root';
  const reason = zfsReady();
  if (reason !== undefined) return reason;
  const base = mkdtempSync(join(tmpdir(), 'pomona-zfs-'));
  const name = `pomona-test-${randomBytes(4).toString('hex')}`;
  const file = join(base, 'disk');
  const dir = join(base, 'mounts');
  try {
    closeSync(openSync(file, 'w'));
    truncateSync(file, megabytes * 2 ** 20);
    mkdirSync(dir);
    for (const path of [base, dir]) chmodSync(path, 0o711);
    quiet('zpool', ['create', '-m', 'none', name, file]);
  } catch (error) {
    rmSync(base, { recursive: true, force: true });
    return `a ZFS pool in a file does not work here: ${(error as Error).message.split('\n')[0]}`;
  }
  return {
    name,
    root: `${name}?dir=${dir}`,
    dir,
    remove() {
      // What was unmounted a moment ago keeps it busy.
      for (let tries = 1; tries < 50 && !works('zpool', ['destroy', '-f', name]); tries += 1) {
        execFileSync('sleep', ['0.2']);
      }
      rmSync(base, { recursive: true, force: true });
    },
  };
}

/** The reason why there is no ZFS, if so. */
function zfsReady(): string | undefined {
  if (works('zpool', ['list'])) return undefined;
  if (!works('sh', ['-c', 'command -v zpool'])) return 'ZFS is not installed (Debian: zfs-fuse)';
  return 'ZFS does not run; scripts/test-zfs.sh starts the daemon of zfs-fuse';
}

function works(file: string, args: readonly string[]): boolean {
  try {
    quiet(file, args);
    return true;
  } catch {
    return false;
  }
}

function quiet(file: string, args: readonly string[]): void {
  execFileSync(file, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 30_000 });
}
