import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface LoopFileSystem {
  readonly dir: string;
  remove(): void;
}

/**
 * Makes a file system of its own in a file and mounts it. Returns the reason, as text, where this
 * machine cannot.
 */
export function loopFileSystem(
  type: 'btrfs' | 'xfs' | 'ext4',
  megabytes: number,
): LoopFileSystem | string {
  if (process.platform !== 'linux') return `${type} on a loop file needs Linux`;
  if (process.getuid?.() !== 0) return `mounting ${type} on a loop file needs root`;
  const base = mkdtempSync(join(tmpdir(), `pomona-${type}-`));
  const file = join(base, 'disk');
  const dir = mkdtempSync(join(base, 'mnt-'));
  try {
    writeFileSync(file, '');
    truncateSync(file, megabytes * 2 ** 20);
    // As many files as other file systems have room for.
    const inodes = type === 'ext4' ? ['-N', '400000'] : [];
    execFileSync(`mkfs.${type}`, ['-q', ...inodes, file], { stdio: ['ignore', 'ignore', 'pipe'] });
    execFileSync('mount', ['-o', 'loop', file, dir], { stdio: ['ignore', 'ignore', 'pipe'] });
    // Workers' users pass through.
    for (const path of [base, dir]) chmodSync(path, 0o711);
  } catch (error) {
    rmSync(base, { recursive: true, force: true });
    return `${type} on a loop file does not work here: ${(error as Error).message.split('\n')[0]}`;
  }
  return {
    dir,
    remove() {
      execFileSync('umount', ['-l', dir]);
      rmSync(base, { recursive: true, force: true });
    },
  };
}
