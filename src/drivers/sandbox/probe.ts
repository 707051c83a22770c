import { chmod, mkdir, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { DriverReport, Isolation } from '../../domain/host.ts';
import { startCommand } from '../../platform/start-command.ts';
import { removeTree } from '../../platform/tree.ts';
import type { Launch, SandboxDriver, SandboxSpec } from './sandbox.ts';

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
  const spec: SandboxSpec = {
    name: `pomona-probe-${driver.name}-${process.pid}`,
    homeDir: join(dir, 'home'),
    prefixDir: join(dir, 'prefix'),
    tmpDir: join(dir, 'tmp'),
    prefixPath: '/usr/local',
    limits: {},
  };
  const sandbox = await driver.open();
  try {
    await chmod(dir, 0o711);
    await mkdir(spec.homeDir);
    await mkdir(spec.prefixDir);
    await sandbox.prepare(spec);
    const printed = await printedBy(
      await sandbox.launch(spec, {
        argv: ['/bin/sh', '-c', 'echo works'],
        env: {},
        workDir: '.',
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

async function printedBy(launch: Launch): Promise<string> {
  const child = await startCommand(launch);
  const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS);
  try {
    return await text(child.stdout ?? Readable.from([]));
  } finally {
    clearTimeout(timer);
  }
}
