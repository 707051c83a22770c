import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { findProcesses, processIdentity, signalProcess } from '../../../platform/process-table.ts';
import { VmError } from '../vm.ts';
import { GUEST_SSH_PORT } from './arguments.ts';
import { QmpError, withQmp } from './qmp.ts';
import type { VmFiles } from './vm-files.ts';

const LOOK_MS = 10;
const GONE_MS = 10_000;
const SAID_CHARACTERS = 500;
const CONSOLE_BYTES = 2 ** 14;
const LINE_CHARACTERS = 200;

/** Starts QEMU as a process of its own, which outlives this one. Throws when there is no such program. */
export async function startQemu(
  program: string,
  args: readonly string[],
  files: VmFiles,
): Promise<void> {
  const errors = await open(files.errors, 'w', 0o600);
  try {
    const child = spawn(program, args, {
      ...{ detached: true, cwd: '/', stdio: ['ignore', 'ignore', errors.fd] },
    });
    await once(child, 'spawn');
    child.unref();
  } finally {
    await errors.close();
  }
}

/** What it complained of last. */
export async function saidByQemu(files: VmFiles): Promise<string> {
  const said = await readFile(files.errors, 'utf8').catch(() => '');
  return said.trim().slice(-SAID_CHARACTERS);
}

/** Identity of the process that runs a VM: known by the path of its pid file among its arguments. */
export async function qemuIdentity(files: VmFiles): Promise<string | undefined> {
  for (const pid of await findProcesses({ argument: files.pid })) {
    const identity = await processIdentity(pid);
    if (identity !== undefined) return identity;
  }
  return undefined;
}

/** Cuts the power. Returns once no process runs the VM. */
export async function killQemu(files: VmFiles): Promise<void> {
  const deadline = performance.now() + GONE_MS;
  for (;;) {
    const identity = await qemuIdentity(files);
    if (identity === undefined) return;
    await signalProcess(identity, 'SIGKILL');
    if (performance.now() > deadline) {
      throw new VmError('tool_failed', `QEMU (process ${identity}) does not end`);
    }
    await sleep(LOOK_MS);
  }
}

/** Has the guest see its power button pressed; false when QEMU does not answer. */
export async function pressPowerButton(files: VmFiles): Promise<boolean> {
  const pressed = withQmp(files.qmp, async (ask) => {
    await ask('system_powerdown');
    return true;
  });
  return (await answerOf(pressed)) === true;
}

/** The port of the host that leads to the guest's SSH, as QEMU shows it to people. */
export async function sshPort(files: VmFiles): Promise<number | undefined> {
  const command = { 'command-line': 'info usernet' };
  const shown = withQmp(files.qmp, (ask) => ask('human-monitor-command', command));
  const forward = new RegExp(
    String.raw`HOST_FORWARD\S*\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+${GUEST_SSH_PORT}\s`,
  );
  const port = forward.exec(String(await answerOf(shown)))?.[1];
  return port === undefined ? undefined : Number(port);
}

/** The last line of the guest's console that is more than a few characters. */
export async function lastOfConsole(files: VmFiles): Promise<string | undefined> {
  const request = { device: 'console', size: CONSOLE_BYTES };
  const kept = await answerOf(withQmp(files.qmp, (ask) => ask('ringbuf-read', request)));
  const lines = String(kept ?? '').split(/[\r\n]+/);
  return lines
    .findLast((line) => line.trim().length > 3)
    ?.trim()
    .slice(0, LINE_CHARACTERS);
}

/** A QEMU that ends while it is asked has no answer. */
async function answerOf<T>(asked: Promise<T | undefined>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (error instanceof QmpError || code === 'ECONNRESET' || code === 'EPIPE') return undefined;
    throw error;
  }
}
