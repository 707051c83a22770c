import { once } from 'node:events';
import { mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isMissing } from '../../platform/atomic-file.ts';
import { shellQuoted, type SshAccess } from '../../platform/ssh/access.ts';
import { copyFrom, copyInto } from '../../platform/ssh/guest-files.ts';
import { remoteLaunch } from '../../platform/ssh/remote-command.ts';
import { startCommand } from '../../platform/start-command.ts';
import { mustRun } from '../../platform/tool.ts';
import { climb, sshAnswers, type Rung, type RungName } from './ladder.ts';
import { VmError, type VmCommand, type VmExit } from './vm.ts';

const SAID_CHARACTERS = 300;

/** A guest that is reached by SSH: what drivers of real machines have in common. */
export class SshGuest {
  readonly #access: SshAccess;

  constructor(access: SshAccess) {
    this.#access = access;
  }

  async exec(command: VmCommand, signal: AbortSignal): Promise<VmExit> {
    const { code, said } = await this.#run(command, signal);
    if (code === null) {
      throw new VmError('exec_failed', `the connection to the VM was lost: ${said}`);
    }
    return { exitCode: code };
  }

  copyIn(dir: string, guestDir: string, signal: AbortSignal): Promise<void> {
    return asVmError(copyInto(this.#access, dir, guestDir, signal), signal);
  }

  async copyOut(guestDir: string, dir: string, signal: AbortSignal): Promise<void> {
    const all = () => true;
    await asVmError(copyFrom(this.#access, guestDir, dir, all, Infinity, signal), signal);
  }

  /** Undefined when a command succeeds in it; otherwise what is the matter. */
  async look(signal: AbortSignal, argv: readonly string[] = ['true']): Promise<string | undefined> {
    const onOutput = async () => undefined;
    const { code, said } = await this.#run({ argv, env: {}, onOutput }, signal);
    return code === 0 ? undefined : said || `exit code ${code}`;
  }

  async #run({ argv, env, onOutput }: VmCommand, signal: AbortSignal) {
    signal.throwIfAborted();
    const child = await startCommand(remoteLaunch(this.#access, { argv, env, workDir: '.' }));
    const exit = once(child, 'exit') as Promise<[number | null]>;
    const stop = () => endGroup(child.pid);
    signal.addEventListener('abort', stop, { once: true });
    let said = '';
    try {
      for await (const chunk of child.stdout ?? []) {
        said = (said + String(chunk)).slice(-SAID_CHARACTERS);
        await onOutput(chunk as Buffer);
      }
      const [code] = await exit;
      signal.throwIfAborted();
      return { code, said: said.trim() };
    } finally {
      signal.removeEventListener('abort', stop);
      stop();
    }
  }
}

function endGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/**
 * Climbs from the address on: it is asked for until the guest has one, then SSH has to answer, to let
 * in, and to run a command. `letIn` is called where it lets nobody in, to put the key
 * into the guest, or to say what to do.
 */
export function climbBySsh(
  vm: string,
  accessOf: () => Promise<SshAccess | string>,
  broken: () => Promise<string | undefined>,
  timeouts: Readonly<Record<RungName, number>>,
  signal: AbortSignal,
  letIn?: () => Promise<string | undefined>,
): Promise<void> {
  let access: SshAccess | undefined;
  const reached = () => {
    if (access === undefined) throw new Error('a rung was left out');
    return access;
  };
  const rungs: Pick<Rung, 'name' | 'look'>[] = [
    {
      name: 'address',
      look: async () => {
        const found = await accessOf();
        if (typeof found === 'string') return found;
        access = found;
        return undefined;
      },
    },
    { name: 'port', look: () => sshAnswers(reached().host, reached().port) },
    {
      name: 'login',
      look: async (stop) => {
        const matter = await new SshGuest(reached()).look(stop);
        if (matter === undefined) return undefined;
        const hint = await letIn?.();
        return hint === undefined ? matter : `${matter}; ${hint}`;
      },
    },
    { name: 'command', look: (stop) => new SshGuest(reached()).look(stop, ['test', '-w', '.']) },
  ];
  return climb(
    vm,
    rungs.map((rung) => ({
      ...rung,
      timeoutMs: timeouts[rung.name],
    })),
    broken,
    signal,
  );
}

/** The key that lets into the guests of a driver, alone in its directory; made when it is first asked for. */
export async function guestKey(path: string): Promise<string> {
  try {
    await stat(path);
    return path;
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  // Both halves at once, by the name of their directory: several may be at it.
  const dir = dirname(path);
  await mkdir(dirname(dir), { recursive: true, mode: 0o700 });
  const made = await mkdtemp(`${dir}.new-`);
  try {
    const key = join(made, basename(path));
    await mustRun('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'pomona', '-f', key]);
    await rename(made, dir);
  } catch (error) {
    await rm(made, { recursive: true, force: true });
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  }
  return path;
}

/** A script of shell that puts a key into the home of whoever runs it, once. */
export function authorizeScript(publicKey: string): string {
  const key = shellQuoted(publicKey);
  const file = '"$HOME/.ssh/authorized_keys"';
  return `umask 077; mkdir -p "$HOME/.ssh"; grep -qxF ${key} ${file} 2>/dev/null || echo ${key} >> ${file}`;
}

async function asVmError<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    signal.throwIfAborted();
    throw new VmError('exec_failed', (cause as Error).message, { cause });
  }
}
