import { chmod, lstat, mkdir, realpath, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing } from '../../platform/atomic-file.ts';
import { hostPath, type Shown } from '../../platform/inside-path.ts';
import { makeMountPoints, makePlace, resolveTarget } from './mount-points.ts';
import {
  SandboxError,
  type Mount,
  type RootFiles,
  type SandboxCommand,
  type SandboxSpec,
} from './sandbox.ts';

/** What sandboxes put over a root file system: nothing of the root's own can be seen there. */
const COVERED = ['/proc', '/dev'] as const;

/**
 * What root may do in a root file system: change owners and users, and no more. Neither mount nor
 * make devices nor reach into the kernel.
 */
export const ROOT_CAPABILITIES = [
  'CAP_AUDIT_WRITE',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_NET_BIND_SERVICE',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
] as const;

/** What of the kernel's own files tells of the host. */
export const PROC_MASKED = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
];

/** What root could change the host by: that these are root's is enough, no capability is needed. */
export const PROC_READ_ONLY = [
  '/proc/bus',
  '/proc/fs',
  '/proc/irq',
  '/proc/sys',
  '/proc/sysrq-trigger',
];

/** The spec's root file system, for a sandbox that was given one. */
export function rootFiles(spec: SandboxSpec): RootFiles {
  if (spec.files.kind === 'root') return spec.files;
  throw new SandboxError('unsupported', `${spec.name} has a home, not a root file system`);
}

/**
 * Makes a root file system ready for commands, or finds that it is: places for what is put over it
 * and for the spec's mounts, the working directory if `command` is given. Returns what to mount, in
 * order, with targets free of links.
 */
export async function readyRoot(spec: SandboxSpec, command?: SandboxCommand): Promise<Mount[]> {
  const { rootDir } = rootFiles(spec);
  const asRoot = process.getuid?.() === 0;
  const root: Shown[] = [{ inside: '/', dir: rootDir }];
  await mkdir(spec.tmpDir, { recursive: true });
  await chmod(spec.tmpDir, 0o711);
  for (const path of COVERED) await makeCovered(spec, root, path);
  for (const { target } of spec.mounts) {
    const resolved = await resolveTarget(root, target);
    const cover = COVERED.find((path) => resolved === path || resolved.startsWith(`${path}/`));
    if (cover === undefined) continue;
    throw new SandboxError(
      'bad_mount',
      `nothing can be mounted at ${target}: ${cover} is the system's`,
    );
  }
  const owner = asRoot ? (spec.user ?? { uid: 0, gid: 0 }) : undefined;
  const mounts = [
    ...(await systemMounts(spec, root)),
    ...(await makeMountPoints(spec, root, owner)),
  ];
  if (command !== undefined) {
    const shown = shownIn(rootDir, mounts);
    const dir = await resolveTarget(shown, command.workDir);
    if (!COVERED.some((path) => dir === path || dir.startsWith(`${path}/`))) {
      await makePlace(spec, shown, dir, 'directory', owner);
    }
  }
  return mounts;
}

async function makeCovered(spec: SandboxSpec, root: readonly Shown[], path: string): Promise<void> {
  if ((await resolveTarget(root, path)) !== path) {
    throw new SandboxError(
      'bad_mount',
      `${path} of the root file system is a link; it must be a directory or missing`,
    );
  }
  await makePlace(spec, root, path, 'directory', undefined);
}

/** Names of hosts: the host's own resolver where its network is, and what `localhost` is. */
async function systemMounts(spec: SandboxSpec, root: readonly Shown[]): Promise<Mount[]> {
  const etc = hostPath(root, await resolveTarget(root, '/etc'));
  if (etc === undefined || !(await isDirectory(etc))) return [];
  const hosts = join(spec.tmpDir, 'hosts');
  await writeFile(hosts, '127.0.0.1\tlocalhost\n::1\tlocalhost\n', { mode: 0o644 });
  const files = [[hosts, '/etc/hosts']];
  if (spec.network === 'host') {
    const resolver = await realpath('/etc/resolv.conf').catch(() => undefined);
    if (resolver !== undefined) files.push([resolver, '/etc/resolv.conf']);
  }
  const mounts: Mount[] = [];
  for (const [source = '', wanted = ''] of files) {
    const target = await resolveTarget(root, wanted);
    await makePlace(spec, root, target, 'file', undefined);
    mounts.push({ source, target, readOnly: true });
  }
  return mounts;
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isDirectory();
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** Does the root have a shell? What is started through one says 126 and 127 as shells do. */
export async function hasShell(rootDir: string, mounts: readonly Mount[]): Promise<boolean> {
  const shown = shownIn(rootDir, mounts);
  const path = hostPath(shown, await resolveTarget(shown, '/bin/sh'));
  return path !== undefined && (await lstat(path).catch(() => undefined))?.isFile() === true;
}

function shownIn(rootDir: string, mounts: readonly Mount[]): Shown[] {
  const mounted = mounts.map(({ source, target, readOnly }) => ({
    inside: target,
    dir: source,
    readOnly,
  }));
  return [{ inside: '/', dir: rootDir }, ...mounted];
}
