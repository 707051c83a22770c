import { existsSync } from 'node:fs';
import { chmod, lstat, mkdir, readdir, readlink, realpath } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import {
  cgroupControllers,
  cgroupRanOutOfMemory,
  joinCgroup,
  makeCgroup,
  removeCgroup,
} from '../../platform/cgroup.ts';
import { chownTree } from '../../platform/tree.ts';
import { askProcesses, endProcesses } from './end-processes.ts';
import { commandEnvironment } from './environment.ts';
import { probeSandbox } from './probe.ts';
import { assertReachable, barrierAbove } from './reachable.ts';
import type { Sandbox, SandboxCapabilities, SandboxDriver, SandboxSpec } from './sandbox.ts';
import { cleanSharedPlaces } from './shared-places.ts';
import { claimUid, releaseUid, uidOf } from './worker-users.ts';
import { ulimitsFor, wrapped } from './wrapper.ts';

/** Where a job sees its home. */
const HOME = '/home/worker';

/** Directories of the system that jobs see, read-only. */
const SYSTEM = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32', '/etc', '/opt'];

/**
 * Linux namespaces by bubblewrap: the system read-only, a home, prefix and temporary directories
 * of the worker's own, no process but its own. With root each worker also has a user of its own.
 * The network is the host's.
 */
export const bubblewrapDriver: SandboxDriver = {
  name: 'bubblewrap',
  rank: 9,
  probe: () =>
    probeSandbox(
      bubblewrapDriver,
      'namespaces',
      'jobs see a read-only system and their own files and processes; the network is the host’s',
      'install bubblewrap (apt-get install bubblewrap) and allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1)',
    ),
  open: async () => new BubblewrapSandbox(await cgroupControllers()),
};

class BubblewrapSandbox implements Sandbox {
  readonly name = 'bubblewrap';
  readonly capabilities: SandboxCapabilities;
  readonly #controllers: ReadonlySet<string>;
  readonly #asRoot = process.getuid?.() === 0;
  /** What all workers see alike, found out once. */
  #systemView: Promise<readonly string[]> | undefined;

  constructor(controllers: ReadonlySet<string>) {
    this.#controllers = controllers;
    this.capabilities = {
      isolation: 'namespaces',
      mountsPrefix: true,
      limits: {
        cpus: controllers.has('cpu'),
        memoryBytes: true,
        openFiles: true,
        processes: controllers.has('pids') || this.#asRoot,
      },
    };
  }

  async prepare(spec: SandboxSpec): Promise<void> {
    for (const dir of temporaryDirs(spec)) await mkdir(dir, { recursive: true });
    if (this.#asRoot) {
      const uid = await claimUid(spec.name);
      for (const dir of [spec.homeDir, spec.prefixDir, spec.tmpDir]) {
        await chownTree(dir, uid, uid);
        await chmod(dir, 0o700);
        await assertReachable(dir);
      }
    }
    if (this.#grouped(spec)) await makeCgroup(spec.name, spec.limits);
  }

  /**
   * Whether a control group has a limit to enforce. Nothing leaves a worker's process namespace, so
   * its processes are found without one; and joining one takes the kernel some 15 ms.
   */
  #grouped({ limits }: SandboxSpec): boolean {
    const { cpus, memoryBytes, processes } = limits;
    return (
      (cpus !== undefined && this.#controllers.has('cpu')) ||
      (memoryBytes !== undefined && this.#controllers.has('memory')) ||
      (processes !== undefined && this.#controllers.has('pids'))
    );
  }

  async launch(spec: SandboxSpec, command: Parameters<Sandbox['launch']>[1]) {
    const uid = this.#asRoot ? await uidOf(spec.name) : process.getuid?.();
    if (uid === undefined) throw new Error(`worker ${spec.name} has no user; it was not prepared`);
    const gated = this.#grouped(spec);
    const hasPrefix = (await readdir(spec.prefixDir)).length > 0;
    const argv = [
      'bwrap',
      ...NAMESPACES,
      ...(await (this.#systemView ??= systemView(this.#asRoot))),
      ...ownView(spec, hasPrefix),
      ...['--chdir', join(HOME, command.workDir)],
      '--',
      // A shell inside says 126 and 127 for what cannot be run, where bubblewrap would say 1.
      ...['/bin/sh', '-c', 'exec "$@"', 'sh'],
      ...command.argv,
    ];
    return {
      file: '/bin/sh',
      args: wrapped(argv, {
        gated,
        ulimits: ulimitsFor(spec, this.#controllers, this.#asRoot),
      }),
      env: commandEnvironment(spec, command, {
        home: HOME,
        prefix: spec.prefixPath,
        tmp: '/tmp',
        user: 'worker',
      }),
      cwd: '/',
      ...(this.#asRoot ? { uid, gid: uid } : {}),
      ...(gated ? { admit: (pid: number) => joinCgroup(spec.name, pid) } : {}),
    };
  }

  /** bubblewrap itself must live on: when it ends, what runs in it is killed. */
  async terminate(spec: SandboxSpec): Promise<void> {
    await askProcesses(spec, this.#asRoot ? await uidOf(spec.name) : undefined, ['bwrap']);
  }

  async killReason(spec: SandboxSpec): Promise<string | undefined> {
    return (await cgroupRanOutOfMemory(spec.name)) ? 'out of memory' : undefined;
  }

  async killAll(spec: SandboxSpec): Promise<void> {
    await endProcesses(spec, this.#asRoot ? await uidOf(spec.name) : undefined);
  }

  async destroy(spec: SandboxSpec): Promise<void> {
    await this.killAll(spec);
    const uid = this.#asRoot ? await uidOf(spec.name) : undefined;
    if (uid !== undefined) await cleanSharedPlaces(uid);
    await removeCgroup(spec.name);
    if (this.#asRoot) await releaseUid(spec.name);
  }
}

const NAMESPACES = [
  ...['--unshare-user', '--unshare-pid', '--unshare-ipc', '--unshare-uts'],
  ...['--unshare-cgroup-try', '--die-with-parent', '--new-session', '--hostname', 'worker'],
];

/** The system's directories and tools, read-only, over which the worker's own things are put. */
async function systemView(asRoot: boolean): Promise<string[]> {
  const args = ['--proc', '/proc', '--dev', '/dev', '--tmpfs', '/run'];
  args.push('--dir', '/home', '--dir', '/root');
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

function ownView(spec: SandboxSpec, hasPrefix: boolean): string[] {
  const [tmp, varTmp] = temporaryDirs(spec);
  const args = ['--bind', tmp, '/tmp', '--bind', varTmp, '/var/tmp'];
  args.push('--bind', spec.homeDir, HOME);
  if (hasPrefix) args.push('--bind', spec.prefixDir, spec.prefixPath);
  return args;
}

function temporaryDirs(spec: SandboxSpec): [string, string] {
  return [join(spec.tmpDir, 'tmp'), join(spec.tmpDir, 'var-tmp')];
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
