import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isMissing } from '../../../platform/atomic-file.ts';
import {
  cgroupControllers,
  cgroupPath,
  cgroupRanOutOfMemory,
  makeCgroup,
  removeCgroup,
} from '../../../platform/cgroup.ts';
import { removeTree } from '../../../platform/tree.ts';
import { askProcesses, endProcesses } from '../end-processes.ts';
import { findProgram, launcherEnvironment, rootEnvironment } from '../environment.ts';
import { removeMountPoints } from '../mount-points.ts';
import { probeSandbox } from '../probe.ts';
import { hasShell, readyRoot, rootFiles } from '../root-files.ts';
import {
  SandboxError,
  type Launch,
  type Sandbox,
  type SandboxCapabilities,
  type SandboxCommand,
  type SandboxDriver,
  type SandboxSpec,
} from '../sandbox.ts';
import { assertStartable, assertSupported } from '../supported.ts';
import { wrapped } from '../wrapper.ts';
import { ociConfig } from './oci-config.ts';

const run = promisify(execFile);

/** Where runc keeps its containers: one directory each, emptied by a reboot. */
const STATE = '/run/pomona/runc';
const TIMEOUT_MS = 10_000;

/**
 * Containers of runc over whole root file systems: all user ids, in a user namespace, and `sudo`
 * works. Each command is a container `<name>.<random>`, in a control group in the environment's.
 */
export const runcDriver: SandboxDriver = {
  name: 'runc',
  // Builds name it; workers, which have a home, cannot use it and never get it for being best.
  rank: 0,
  probe: () =>
    probeSandbox(
      runcDriver,
      'namespaces',
      'commands run over a root file system as any user, with sudo; for builds, not for workers',
      '',
    ),
  open: async () => new RuncSandbox(await cgroupControllers()),
};

class RuncSandbox implements Sandbox {
  readonly name = 'runc';
  readonly capabilities: SandboxCapabilities;

  constructor(controllers: ReadonlySet<string>) {
    this.capabilities = {
      isolation: 'namespaces',
      mountsPrefix: false,
      limits: {
        cpus: controllers.has('cpu'),
        memoryBytes: controllers.has('memory'),
        openFiles: true,
        processes: controllers.has('pids'),
      },
      files: { home: false, root: true },
      network: { host: true, none: true },
      mounts: true,
      fastSync: true,
      userIds: 'all',
      homePath: undefined,
      concurrent: true,
    };
  }

  async prepare(spec: SandboxSpec): Promise<void> {
    assertSupported(this, spec);
    await runcPath();
    await mkdir(STATE, { recursive: true, mode: 0o700 });
    await readyRoot(spec);
    await makeCgroup(spec.name, spec.limits);
  }

  async launch(spec: SandboxSpec, command: SandboxCommand): Promise<Launch> {
    assertStartable(command);
    const runc = await runcPath();
    const { rootDir } = rootFiles(spec);
    const container = `${spec.name}.${randomBytes(6).toString('hex')}`;
    const mounts = await readyRoot(spec, command);
    const group = await cgroupPath(spec.name);
    const config = await ociConfig(spec, rootDir, {
      argv: (await hasShell(rootDir, mounts)) ? underShell(command.argv) : command.argv,
      env: await rootEnvironment(rootDir, spec, command),
      workDir: command.workDir,
      mounts,
      cgroup: group === undefined ? undefined : join(group, container),
    });
    const argv = [
      runc,
      '--root',
      STATE,
      'run',
      '--keep',
      '--bundle',
      await bundle(spec),
      container,
    ];
    return {
      file: '/bin/sh',
      args: wrapped(argv, { gated: true, rest: 'pipe', ulimits: {} }),
      env: launcherEnvironment(spec),
      cwd: '/',
      handed: JSON.stringify(config),
    };
  }

  /** Its first process heeds no SIGTERM: it ends when what it waits for does. */
  async terminate(spec: SandboxSpec): Promise<void> {
    await askProcesses(spec, undefined, ['runc']);
  }

  async killReason(spec: SandboxSpec): Promise<string | undefined> {
    return (await cgroupRanOutOfMemory(spec.name)) ? 'out of memory' : undefined;
  }

  async killAll(spec: SandboxSpec): Promise<void> {
    await endProcesses(spec, undefined);
  }

  async destroy(spec: SandboxSpec): Promise<void> {
    await this.killAll(spec);
    for (const container of await containersOf(spec)) {
      // One that was not yet whole is no container to runc.
      await run(await runcPath(), ['--root', STATE, 'delete', '--force', container], {
        timeout: TIMEOUT_MS,
      }).catch(() => undefined);
      await removeTree(join(STATE, container));
    }
    await removeMountPoints(spec);
    await removeCgroup(spec.name);
  }
}

async function runcPath(): Promise<string> {
  if (process.getuid?.() !== 0) {
    throw new SandboxError('unsupported', 'runc: run as root; bubblewrap works without');
  }
  const path = await findProgram('runc');
  if (path !== undefined) return path;
  throw new SandboxError('unsupported', 'runc: not installed; apt-get install runc');
}

/** A bundle whose config.json is what is handed over: secrets in the environment stay off disk. */
async function bundle(spec: SandboxSpec): Promise<string> {
  const dir = join(spec.tmpDir, 'bundle');
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const config = join(dir, 'config.json');
  await rm(config, { force: true });
  await symlink('/proc/self/fd/3', config);
  return dir;
}

/**
 * A shell as first process: without one that reaps children and has handlers, the command would
 * itself be the process that signals do not reach. It also joins both outputs in order, which runc
 * reads from two pipes.
 */
function underShell(argv: readonly string[]): string[] {
  return ['/bin/sh', '-c', '"$@" 2>&1; exit $?', 'sh', ...argv];
}

async function containersOf(spec: SandboxSpec): Promise<string[]> {
  try {
    return (await readdir(STATE)).filter((name) => name.startsWith(`${spec.name}.`));
  } catch (error) {
    // Only root looks in there, and only root has containers.
    if (isMissing(error) || process.getuid?.() !== 0) return [];
    throw error;
  }
}
