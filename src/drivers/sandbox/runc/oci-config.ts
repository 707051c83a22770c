import { readFile } from 'node:fs/promises';
import { PROC_MASKED, PROC_READ_ONLY, ROOT_CAPABILITIES } from '../root-files.ts';
import type { Mount, SandboxSpec } from '../sandbox.ts';

/** Facts: the OCI runtime specification, config.md and config-linux.md, version 1.0.2. */

/** Calls that wait for a disk. */
const SYNC_CALLS = ['fdatasync', 'fsync', 'msync', 'sync', 'sync_file_range', 'syncfs'];

const SYSTEM_MOUNTS = [
  { destination: '/proc', type: 'proc', source: 'proc' },
  {
    destination: '/dev',
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
  },
  {
    destination: '/dev/pts',
    type: 'devpts',
    source: 'devpts',
    options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
  },
  {
    destination: '/dev/shm',
    type: 'tmpfs',
    source: 'shm',
    options: ['nosuid', 'noexec', 'nodev', 'mode=1777'],
  },
  {
    destination: '/dev/mqueue',
    type: 'mqueue',
    source: 'mqueue',
    options: ['nosuid', 'noexec', 'nodev'],
  },
];

export interface ContainerCommand {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly workDir: string;
  readonly mounts: readonly Mount[];
  /** Below the root of each hierarchy; undefined where there are none. */
  readonly cgroup: string | undefined;
}

/** A bundle's config.json for one command over a root file system. */
export async function ociConfig(
  spec: SandboxSpec,
  rootDir: string,
  command: ContainerCommand,
): Promise<object> {
  const { uid, gid } = spec.user ?? { uid: 0, gid: 0 };
  const { openFiles } = spec.limits;
  const held = uid === 0 ? ROOT_CAPABILITIES : [];
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: false,
      user: { uid, gid },
      args: command.argv,
      env: Object.entries(command.env).map(([name, value]) => `${name}=${value}`),
      cwd: command.workDir,
      // What is bounded but not held is there for programs such as sudo.
      capabilities: { bounding: ROOT_CAPABILITIES, effective: held, permitted: held },
      noNewPrivileges: false,
      rlimits:
        openFiles === undefined
          ? []
          : [{ type: 'RLIMIT_NOFILE', hard: openFiles, soft: openFiles }],
    },
    root: { path: rootDir, readonly: false },
    hostname: 'worker',
    mounts: [...SYSTEM_MOUNTS, ...command.mounts.map(bind)],
    linux: {
      namespaces: [
        ...['pid', 'ipc', 'uts', 'mount', 'cgroup', 'user'],
        ...(spec.network === 'none' ? ['network'] : []),
      ].map((type) => ({ type })),
      uidMappings: await identity('uid_map'),
      gidMappings: await identity('gid_map'),
      ...(command.cgroup === undefined ? {} : { cgroupsPath: command.cgroup }),
      resources: { devices: [{ allow: false, access: 'rwm' }] },
      maskedPaths: PROC_MASKED,
      readonlyPaths: PROC_READ_ONLY,
      ...(spec.fastSync === true ? { seccomp: FAST_SYNC } : {}),
    },
  };
}

const FAST_SYNC = {
  defaultAction: 'SCMP_ACT_ALLOW',
  syscalls: [{ names: SYNC_CALLS, action: 'SCMP_ACT_ERRNO', errnoRet: 0 }],
};

function bind({ source, target, readOnly }: Mount): object {
  const options = ['rbind', 'nosuid', 'nodev', readOnly ? 'ro' : 'rw'];
  return { destination: target, type: 'bind', source, options };
}

/** Every id that this process has, as the same number. */
async function identity(map: 'uid_map' | 'gid_map'): Promise<object[]> {
  const lines = (await readFile(`/proc/self/${map}`, 'utf8')).trim().split('\n');
  return lines.map((line) => {
    const [inside, , size] = line.trim().split(/\s+/).map(Number);
    return { containerID: inside, hostID: inside, size };
  });
}
