import { chmod, lstat, mkdir, mkdtemp, readlink, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { DriverReport, Isolation } from '../../domain/host.ts';
import { startCommand } from '../../platform/start-command.ts';
import { removeTree } from '../../platform/tree.ts';
import type { HomeFiles, Launch, Mount, SandboxDriver, SandboxSpec } from './sandbox.ts';

const TIMEOUT_MS = 10_000;

/** Tries a sandbox for real: a command in a worker of its own must print what it should. */
export async function probeSandbox(
  driver: SandboxDriver,
  isolation: Isolation,
  worksBy: string,
  remedy: string,
): Promise<DriverReport> {
  const report = { name: driver.name, rank: driver.rank, isolation };
  const dir = await mkdtemp(join(tmpdir(), 'pomona-probe-'));
  const sandbox = await driver.open();
  const home = sandbox.capabilities.files.home;
  const spec: SandboxSpec = {
    name: `pomona-probe-${driver.name}-${process.pid}`,
    files: home ? homeIn(dir) : { kind: 'root', rootDir: join(dir, 'root') },
    tmpDir: join(dir, 'tmp'),
    mounts: home ? [] : await systemMounts(),
    network: 'host',
    user: undefined,
    limits: {},
  };
  try {
    await chmod(dir, 0o711);
    for (const part of ['home', 'prefix', 'root']) await mkdir(join(dir, part));
    if (spec.files.kind === 'root') await linkSystem(spec.files.rootDir);
    await sandbox.prepare(spec);
    const printed = await printedBy(
      await sandbox.launch(spec, {
        argv: ['/bin/sh', '-c', 'echo works'],
        env: {},
        workDir: home ? '.' : '/',
      }),
    );
    if (printed.trim() !== 'works') throw new Error(`a command in it printed: ${printed.trim()}`);
    return { ...report, available: true, detail: worksBy };
  } catch (error) {
    const why = (error as Error).message.split('\n')[0] ?? '';
    return { ...report, available: false, detail: remedy === '' ? why : `${remedy} (${why})` };
  } finally {
    try {
      await sandbox.destroy(spec);
    } finally {
      await removeTree(dir);
    }
  }
}

function homeIn(dir: string): HomeFiles {
  return {
    kind: 'home',
    homeDir: join(dir, 'home'),
    prefixDir: join(dir, 'prefix'),
    prefixPath: '/usr/local',
  };
}

/** What makes a root file system of the host's own programs. */
const SYSTEM = ['/usr', '/bin', '/lib', '/lib32', '/lib64'];

async function systemMounts(): Promise<Mount[]> {
  const mounts: Mount[] = [];
  for (const dir of SYSTEM) {
    const kind = await lstat(dir).catch(() => undefined);
    if (kind?.isDirectory() === true) mounts.push({ source: dir, target: dir, readOnly: true });
  }
  return mounts;
}

async function linkSystem(rootDir: string): Promise<void> {
  for (const dir of SYSTEM) {
    const target = await readlink(dir).catch(() => undefined);
    if (target !== undefined) await symlink(target, join(rootDir, dir));
  }
}

async function printedBy(launch: Launch): Promise<string> {
  const child = await startCommand(launch);
  const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS);
  try {
    return await text(child.stdout ?? Readable.from([]));
  } finally {
    clearTimeout(timer);
  }
}
