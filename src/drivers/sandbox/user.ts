import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  cgroupControllers,
  cgroupRanOutOfMemory,
  joinCgroup,
  makeCgroup,
  removeCgroup,
} from '../../platform/cgroup.ts';
import { chownTree } from '../../platform/tree.ts';
import { askProcesses, endProcesses } from './end-processes.ts';
import { agentPath, commandEnvironment } from './environment.ts';
import { probeSandbox } from './probe.ts';
import { assertReachable, reachablePath } from './reachable.ts';
import {
  SandboxError,
  type Sandbox,
  type SandboxCapabilities,
  type SandboxDriver,
  type SandboxSpec,
} from './sandbox.ts';
import { cleanSharedPlaces } from './shared-places.ts';
import { assertStartable, assertSupported, homeFiles } from './supported.ts';
import { claimUid, releaseUid, uidOf } from './worker-users.ts';
import { ulimitsFor, wrapped } from './wrapper.ts';

/** A user id of its own for each worker. Jobs read what all users may read, and write their own. */
export const userDriver: SandboxDriver = {
  name: 'user',
  rank: 5,
  probe: () =>
    probeSandbox(
      userDriver,
      'user',
      'each worker runs as a user of its own; jobs see the files and processes that all users see',
      'run the agent as root to give each worker a user of its own',
    ),
  open: async () => new UserSandbox(await cgroupControllers()),
};

class UserSandbox implements Sandbox {
  readonly name = 'user';
  readonly capabilities: SandboxCapabilities;
  readonly #controllers: ReadonlySet<string>;

  constructor(controllers: ReadonlySet<string>) {
    this.#controllers = controllers;
    this.capabilities = {
      isolation: 'user',
      mountsPrefix: false,
      limits: {
        cpus: controllers.has('cpu'),
        memoryBytes: true,
        openFiles: true,
        processes: true,
      },
      files: { home: true, root: false },
      network: { host: true, none: false },
      mounts: false,
      fastSync: false,
      userIds: 'one',
      homePath: undefined,
      concurrent: true,
    };
  }

  async prepare(spec: SandboxSpec): Promise<void> {
    assertSupported(this, spec);
    if (process.getuid?.() !== 0) throw new Error('the user sandbox needs root');
    const uid = await claimUid(spec.name);
    await mkdir(spec.tmpDir, { recursive: true });
    for (const dir of [homeFiles(spec).homeDir, homeFiles(spec).prefixDir, spec.tmpDir]) {
      await chownTree(dir, uid, uid);
      await chmod(dir, 0o700);
      await assertReachable(dir);
    }
    await makeCgroup(spec.name, spec.limits);
  }

  async launch(spec: SandboxSpec, command: Parameters<Sandbox['launch']>[1]) {
    assertStartable(command);
    const files = homeFiles(spec);
    const uid = await uidOf(spec.name);
    if (uid === undefined) {
      throw new SandboxError('not_prepared', `${spec.name} has no user; it was not prepared`);
    }
    const gated = this.#controllers.size > 0;
    return {
      file: '/bin/sh',
      args: wrapped(command.argv, { gated, ulimits: ulimitsFor(spec, this.#controllers, true) }),
      env: commandEnvironment(spec, command, {
        home: files.homeDir,
        prefix: files.prefixDir,
        tmp: spec.tmpDir,
        user: `worker-${uid}`,
        path: await reachablePath(agentPath()),
      }),
      cwd: join(files.homeDir, command.workDir),
      uid,
      gid: uid,
      ...(gated ? { admit: (pid: number) => joinCgroup(spec.name, pid) } : {}),
    };
  }

  async terminate(spec: SandboxSpec): Promise<void> {
    await askProcesses(spec, await uidOf(spec.name));
  }

  async killReason(spec: SandboxSpec): Promise<string | undefined> {
    return (await cgroupRanOutOfMemory(spec.name)) ? 'out of memory' : undefined;
  }

  async killAll(spec: SandboxSpec): Promise<void> {
    await endProcesses(spec, await uidOf(spec.name));
  }

  async destroy(spec: SandboxSpec): Promise<void> {
    await this.killAll(spec);
    const uid = await uidOf(spec.name);
    if (uid !== undefined) await cleanSharedPlaces(uid);
    await removeCgroup(spec.name);
    await releaseUid(spec.name);
  }
}
