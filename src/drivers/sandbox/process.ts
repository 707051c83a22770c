import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  cgroupControllers,
  cgroupRanOutOfMemory,
  joinCgroup,
  makeCgroup,
  removeCgroup,
} from '../../platform/cgroup.ts';
import { askProcesses, endProcesses } from './end-processes.ts';
import { commandEnvironment } from './environment.ts';
import { probeSandbox } from './probe.ts';
import type { Sandbox, SandboxCapabilities, SandboxDriver, SandboxSpec } from './sandbox.ts';
import { assertStartable, assertSupported, homeFiles } from './supported.ts';
import { ulimitsFor, wrapped } from './wrapper.ts';

/**
 * Plain processes of the agent's own user. Nothing keeps a job from what that user may touch; a
 * process that leaves its control group (where there is none) and clears its environment is not
 * found again.
 */
export const processDriver: SandboxDriver = {
  name: 'process',
  rank: 1,
  probe: () =>
    probeSandbox(
      processDriver,
      'none',
      'NO ISOLATION: jobs see and touch all that the user of the agent can; use it for trusted jobs only',
      '',
    ),
  open: async () => new ProcessSandbox(await cgroupControllers()),
};

class ProcessSandbox implements Sandbox {
  readonly name = 'process';
  readonly capabilities: SandboxCapabilities;
  readonly #controllers: ReadonlySet<string>;

  constructor(controllers: ReadonlySet<string>) {
    this.#controllers = controllers;
    this.capabilities = {
      isolation: 'none',
      mountsPrefix: false,
      limits: {
        cpus: controllers.has('cpu'),
        memoryBytes: true,
        openFiles: true,
        processes: controllers.has('pids'),
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
    await mkdir(spec.tmpDir, { recursive: true });
    await makeCgroup(spec.name, spec.limits);
  }

  async launch(spec: SandboxSpec, command: Parameters<Sandbox['launch']>[1]) {
    assertStartable(command);
    const files = homeFiles(spec);
    const gated = this.#controllers.size > 0;
    return {
      file: '/bin/sh',
      args: wrapped(command.argv, { gated, ulimits: ulimitsFor(spec, this.#controllers, false) }),
      env: commandEnvironment(spec, command, {
        home: files.homeDir,
        prefix: files.prefixDir,
        tmp: spec.tmpDir,
        user: process.env['USER'] ?? 'worker',
      }),
      cwd: join(files.homeDir, command.workDir),
      ...(gated ? { admit: (pid: number) => joinCgroup(spec.name, pid) } : {}),
    };
  }

  async terminate(spec: SandboxSpec): Promise<void> {
    await askProcesses(spec, undefined);
  }

  async killReason(spec: SandboxSpec): Promise<string | undefined> {
    return (await cgroupRanOutOfMemory(spec.name)) ? 'out of memory' : undefined;
  }

  killAll(spec: SandboxSpec): Promise<void> {
    return endProcesses(spec, undefined);
  }

  async destroy(spec: SandboxSpec): Promise<void> {
    await this.killAll(spec);
    await removeCgroup(spec.name);
  }
}
