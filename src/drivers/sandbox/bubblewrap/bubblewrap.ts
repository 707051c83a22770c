import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  cgroupControllers,
  cgroupRanOutOfMemory,
  enforceable,
  joinCgroup,
  makeCgroup,
  removeCgroup,
} from '../../../platform/cgroup.ts';
import { chownTree } from '../../../platform/tree.ts';
import { askProcesses, endProcesses } from '../end-processes.ts';
import {
  commandEnvironment,
  findProgram,
  launcherEnvironment,
  rootEnvironment,
} from '../environment.ts';
import { makeMountPoints, removeMountPoints } from '../mount-points.ts';
import { probeSandbox } from '../probe.ts';
import { assertReachable } from '../reachable.ts';
import { hasShell, readyRoot, ROOT_CAPABILITIES, rootFiles } from '../root-files.ts';
import {
  SandboxError,
  type HomeFiles,
  type Launch,
  type Mount,
  type Sandbox,
  type SandboxCapabilities,
  type SandboxCommand,
  type SandboxDriver,
  type SandboxSpec,
} from '../sandbox.ts';
import { cleanSharedPlaces } from '../shared-places.ts';
import { assertStartable, assertSupported } from '../supported.ts';
import { claimUid, releaseUid, uidOf } from '../worker-users.ts';
import { ulimitsFor, wrapped } from '../wrapper.ts';
import { fastSyncFilter } from './fast-sync.ts';
import { giveAllIds } from './identity-map.ts';
import {
  HOME,
  homeView,
  namespaces,
  rootView,
  shownWithHome,
  systemView,
  temporaryDirs,
} from './view.ts';

/**
 * Linux namespaces by bubblewrap, in one of two ways: the host's system read-only with a home,
 * prefix and temporary directories of the worker's own, who is with root a user of its own; or a
 * whole root file system. No process is seen but one's own.
 *
 * As root all user ids exist in a root file system, each the host's id of that number, in a user
 * namespace, so that root there has power over nothing else. As another user there is one id.
 * Programs that change their user by their own (`sudo`) do not: bubblewrap forbids it.
 */
export const bubblewrapDriver: SandboxDriver = {
  name: 'bubblewrap',
  rank: 9,
  probe: () =>
    probeSandbox(
      bubblewrapDriver,
      'namespaces',
      'jobs see a read-only system or a root of their own, and their own files and processes',
      'install bubblewrap (apt-get install bubblewrap) and allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1)',
    ),
  open: async () => new BubblewrapSandbox(await cgroupControllers()),
};

class BubblewrapSandbox implements Sandbox {
  readonly name = 'bubblewrap';
  readonly capabilities: SandboxCapabilities;
  readonly #controllers: ReadonlySet<string>;
  readonly #asRoot = process.getuid?.() === 0;
  readonly #filter = fastSyncFilter();
  /** What all workers with a home see alike, found out once. */
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
      files: { home: true, root: true },
      network: { host: true, none: true },
      mounts: true,
      fastSync: this.#filter !== undefined,
      userIds: this.#asRoot ? 'all' : 'one',
      homePath: HOME,
      concurrent: true,
    };
  }

  async prepare(spec: SandboxSpec): Promise<void> {
    assertSupported(this, spec);
    await mkdir(spec.tmpDir, { recursive: true });
    if (spec.files.kind === 'home') await this.#prepareHome(spec, spec.files);
    else {
      await readyRoot(spec);
      if (this.#asRoot) {
        for (const dir of [spec.files.rootDir, join(spec.tmpDir, 'x')]) await assertReachable(dir);
      }
    }
    if (spec.fastSync === true && this.#filter !== undefined) {
      await writeFile(filterPath(spec), this.#filter, { mode: 0o644 });
    }
    if (this.#grouped(spec)) await makeCgroup(spec.name, spec.limits);
  }

  /**
   * Whether a control group has a limit to enforce. Nothing leaves a worker's process namespace, so
   * its processes are found without one; and joining one takes the kernel some 15 ms.
   */
  #grouped({ limits }: SandboxSpec): boolean {
    return enforceable(limits, this.#controllers);
  }

  async #prepareHome(spec: SandboxSpec, files: HomeFiles): Promise<void> {
    for (const dir of temporaryDirs(spec)) await mkdir(dir, { recursive: true });
    if (this.#asRoot) {
      const uid = await claimUid(spec.name);
      await chmod(spec.tmpDir, 0o711);
      for (const dir of [files.homeDir, files.prefixDir, ...temporaryDirs(spec)]) {
        await chownTree(dir, uid, uid);
        await chmod(dir, 0o700);
        await assertReachable(dir);
      }
    }
    for (const { source, readOnly } of await this.#homeMounts(spec, files)) {
      const uid = this.#asRoot && !readOnly ? await uidOf(spec.name) : undefined;
      if (uid !== undefined) await chownTree(source, uid, uid);
    }
  }

  async #homeMounts(spec: SandboxSpec, files: HomeFiles): Promise<Mount[]> {
    const uid = this.#asRoot ? await uidOf(spec.name) : undefined;
    const owner = uid === undefined ? undefined : { uid, gid: uid };
    return makeMountPoints(spec, shownWithHome(spec, files), owner);
  }

  async launch(spec: SandboxSpec, command: SandboxCommand): Promise<Launch> {
    assertStartable(command);
    const bwrap = await findProgram('bwrap');
    if (bwrap === undefined) throw new SandboxError('unsupported', 'bubblewrap is not installed');
    return spec.files.kind === 'home'
      ? this.#launchWithHome(bwrap, spec, spec.files, command)
      : this.#launchInRoot(bwrap, spec, command);
  }

  async #launchWithHome(
    bwrap: string,
    spec: SandboxSpec,
    files: HomeFiles,
    command: SandboxCommand,
  ): Promise<Launch> {
    const uid = this.#asRoot ? await uidOf(spec.name) : process.getuid?.();
    if (uid === undefined) {
      throw new SandboxError('not_prepared', `${spec.name} has no user; it was not prepared`);
    }
    const env = commandEnvironment(spec, command, {
      home: HOME,
      prefix: files.prefixPath,
      tmp: '/tmp',
      user: 'worker',
    });
    const mounts = await this.#homeMounts(spec, files);
    const view = [
      '--unshare-user',
      ...namespaces(spec, command),
      ...(await (this.#systemView ??= systemView(this.#asRoot))),
      ...(await homeView(spec, files, mounts)),
      ...['--chdir', join(HOME, command.workDir)],
    ];
    const args = this.#wrap(spec, [bwrap, ...view], throughShell(command.argv), true);
    return {
      ...this.#launch(spec, env),
      file: '/bin/sh',
      args,
      ...(this.#asRoot ? { uid, gid: uid } : {}),
    };
  }

  async #launchInRoot(bwrap: string, spec: SandboxSpec, command: SandboxCommand): Promise<Launch> {
    const files = rootFiles(spec);
    const mounts = await readyRoot(spec, command);
    const { uid, gid } = spec.user ?? { uid: 0, gid: 0 };
    const allIds = this.#asRoot && uid === 0;
    const view = [
      ...(allIds ? [] : ['--unshare-user', '--uid', String(uid), '--gid', String(gid)]),
      ...namespaces(spec, command),
      ...rootView(files, mounts),
      ...['--cap-drop', 'ALL'],
      ...(uid === 0 ? ROOT_CAPABILITIES.flatMap((name) => ['--cap-add', name]) : []),
      ...['--chdir', command.workDir],
    ];
    const argv = (await hasShell(files.rootDir, mounts))
      ? throughShell(command.argv)
      : command.argv;
    const args = this.#wrap(spec, [bwrap, ...view], argv, false);
    const launch = this.#launch(spec, await rootEnvironment(files.rootDir, spec, command));
    if (!allIds) return { ...launch, file: '/bin/sh', args, ...(this.#asRoot ? { uid, gid } : {}) };
    const { admit } = launch;
    return {
      ...launch,
      file: 'unshare',
      args: ['--user', '--', '/bin/sh', ...args],
      admit: async (pid) => {
        await giveAllIds(pid);
        await admit?.(pid);
      },
    };
  }

  /** What is the same in both ways. The job's environment reaches bubblewrap's child only. */
  #launch(spec: SandboxSpec, env: Readonly<Record<string, string>>) {
    const sets = Object.entries(env).flatMap(([name, value]) => ['--setenv', name, value]);
    return {
      env: launcherEnvironment(spec),
      cwd: '/',
      handed: ['--clearenv', ...sets].map((word) => `${word}\0`).join(''),
      ...(this.#grouped(spec) ? { admit: (pid: number) => joinCgroup(spec.name, pid) } : {}),
    };
  }

  #wrap(
    spec: SandboxSpec,
    bwrap: readonly string[],
    argv: readonly string[],
    ownUid: boolean,
  ): string[] {
    const filtered = spec.fastSync === true && this.#filter !== undefined;
    const seccomp = filtered ? ['--seccomp', '4'] : [];
    return wrapped([...bwrap, ...seccomp, '--args', '3', '--', ...argv], {
      gated: true,
      rest: 'keep',
      ulimits: ulimitsFor(spec, this.#controllers, ownUid && this.#asRoot),
      open: filtered ? filterPath(spec) : undefined,
    });
  }

  /** bubblewrap itself must live on: when it ends, what runs in it is killed. */
  async terminate(spec: SandboxSpec): Promise<void> {
    await askProcesses(spec, await this.#uidOf(spec), ['bwrap']);
  }

  async killReason(spec: SandboxSpec): Promise<string | undefined> {
    return (await cgroupRanOutOfMemory(spec.name)) ? 'out of memory' : undefined;
  }

  async killAll(spec: SandboxSpec): Promise<void> {
    await endProcesses(spec, await this.#uidOf(spec));
  }

  /** The uid that is the environment's alone: ids in a root file system may be anyone's here. */
  async #uidOf(spec: SandboxSpec): Promise<number | undefined> {
    return this.#asRoot && spec.files.kind === 'home' ? uidOf(spec.name) : undefined;
  }

  async destroy(spec: SandboxSpec): Promise<void> {
    await this.killAll(spec);
    await removeMountPoints(spec);
    const uid = await this.#uidOf(spec);
    if (uid !== undefined) await cleanSharedPlaces(uid);
    await removeCgroup(spec.name);
    if (uid !== undefined) await releaseUid(spec.name);
  }
}

/** A shell inside says 126 and 127 for what cannot be run, where bubblewrap would say 1. */
function throughShell(argv: readonly string[]): string[] {
  return ['/bin/sh', '-c', 'exec "$@"', 'sh', ...argv];
}

function filterPath(spec: SandboxSpec): string {
  return join(spec.tmpDir, 'fast-sync');
}
