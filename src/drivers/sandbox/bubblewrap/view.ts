import { existsSync, lstatSync } from 'node:fs';
import { lstat, readdir, readlink, realpath } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { barrierAbove } from '../reachable.ts';
import type { Shown } from '../../../platform/inside-path.ts';
import { PROC_MASKED, PROC_READ_ONLY } from '../root-files.ts';
import type { HomeFiles, Mount, RootFiles, SandboxSpec } from '../sandbox.ts';

/** Where a job sees its home. */
export const HOME = '/home/worker';

/** Directories of the system that jobs see, read-only. */
const SYSTEM = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32', '/etc', '/opt'];

/** What jobs see at /tmp and /var/tmp beside a home. */
export function temporaryDirs(spec: SandboxSpec): [tmp: string, varTmp: string] {
  return [join(spec.tmpDir, 'tmp'), join(spec.tmpDir, 'var-tmp')];
}

/** The places of an environment with a home that may be mounted in. */
export function shownWithHome(spec: SandboxSpec, files: HomeFiles): Shown[] {
  const [tmp, varTmp] = temporaryDirs(spec);
  return [
    { inside: HOME, dir: files.homeDir },
    { inside: files.prefixPath, dir: files.prefixDir },
    { inside: '/tmp', dir: tmp },
    { inside: '/var/tmp', dir: varTmp },
  ];
}

/** Namespaces that every command gets. */
export function namespaces(spec: SandboxSpec, { terminal = false } = {}): string[] {
  const args = ['--unshare-pid', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try'];
  if (spec.network === 'none') args.push('--unshare-net');
  // In a session of its own it cannot say anything to the terminal of whoever started it.
  if (!terminal) args.push('--new-session');
  return [...args, '--die-with-parent', '--hostname', 'worker'];
}

/** The host's system and tools, read-only, over which `homeView` goes. */
export async function systemView(asRoot: boolean): Promise<string[]> {
  const args = ['--proc', '/proc', '--dev', '/dev', '--tmpfs', '/run', '--dir', '/home'];
  args.push('--dir', '/root');
  for (const dir of SYSTEM) {
    const kind = await lstat(dir).catch(() => undefined);
    if (kind?.isSymbolicLink() === true) args.push('--symlink', await readlink(dir), dir);
    else if (kind !== undefined) args.push('--ro-bind', dir, dir);
  }
  for (const dir of await toolDirs(asRoot)) args.push('--ro-bind', dir, dir);
  // Where the resolver's configuration really is, when /etc/resolv.conf is a link.
  const resolver = await realpath('/etc/resolv.conf').catch(() => '');
  if (resolver.startsWith('/run/'))
    args.push('--ro-bind-try', dirname(resolver), dirname(resolver));
  return args;
}

/** The home, prefix and temporary directories of the spec, with its mounts. */
export async function homeView(
  spec: SandboxSpec,
  files: HomeFiles,
  mounts: readonly Mount[],
): Promise<string[]> {
  const [tmp, varTmp] = temporaryDirs(spec);
  const args = ['--bind', tmp, '/tmp', '--bind', varTmp, '/var/tmp'];
  args.push('--bind', files.homeDir, HOME);
  const inPrefix = mounts.some(({ target }) => target.startsWith(`${files.prefixPath}/`));
  if (inPrefix || (await readdir(files.prefixDir)).length > 0) {
    args.push('--bind', files.prefixDir, files.prefixPath);
  }
  return [...args, ...binds(mounts)];
}

/** A root file system, with the kernel's own over it. */
export function rootView({ rootDir }: RootFiles, mounts: readonly Mount[]): string[] {
  const args = ['--bind', rootDir, '/', '--proc', '/proc', '--dev', '/dev'];
  for (const path of PROC_READ_ONLY) args.push('--ro-bind-try', path, path);
  for (const path of PROC_MASKED) {
    const kind = lstatSync(path, { throwIfNoEntry: false });
    if (kind?.isDirectory() === true) args.push('--tmpfs', path, '--remount-ro', path);
    else if (kind !== undefined) args.push('--ro-bind', '/dev/null', path);
  }
  return [...args, ...binds(mounts)];
}

function binds(mounts: readonly Mount[]): string[] {
  return mounts.flatMap(({ source, target, readOnly }) => [
    readOnly ? '--ro-bind' : '--bind',
    source,
    target,
  ]);
}

/**
 * Where tools on the agent's PATH live outside the system's directories, such as a Node of a
 * version manager: the folder above each `bin`, if the worker's user can get there.
 */
async function toolDirs(ownUser: boolean): Promise<string[]> {
  const dirs = new Set<string>();
  for (const entry of (process.env['PATH'] ?? '').split(delimiter)) {
    if (!entry.startsWith('/') || !existsSync(entry)) continue;
    const dir = entry.endsWith('/bin') ? dirname(entry) : entry;
    if (dir === '/' || SYSTEM.some((system) => `${dir}/`.startsWith(`${system}/`))) continue;
    if (ownUser && (await barrierAbove(join(dir, 'bin'))) !== undefined) continue;
    dirs.add(dir);
  }
  return [...dirs];
}
