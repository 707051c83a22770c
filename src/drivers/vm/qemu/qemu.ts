import { lstat, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DriverReport } from '../../../domain/host.ts';
import { readJson, writeJson } from '../../../platform/atomic-file.ts';
import type { SshAccess } from '../../../platform/ssh/access.ts';
import { tool } from '../../../platform/tool.ts';
import { namesIn } from '../../../platform/names-in.ts';
import { removeTree } from '../../../platform/tree.ts';
import type { VmMaking, VmScreen } from '../making.ts';
import { climb, RUNG_TIMEOUTS_MS, type RungName } from '../ladder.ts';
import { climbBySsh, guestKey } from '../ssh-guest.ts';
import { SshVms } from '../ssh-vms.ts';
import {
  VmError,
  type VmCapabilities,
  type VmCloneRequest,
  type VmDriver,
  type VmDriverEntry,
  type VmInfo,
} from '../vm.ts';
import { findAccelerator, type Accelerator } from './accelerator.ts';
import { qemuArguments } from './arguments.ts';
import { baseImage } from './base-image.ts';
import { qemuProgram } from './machine.ts';
import {
  killQemu,
  lastOfConsole,
  pressPowerButton,
  qemuIdentity,
  saidByQemu,
  sshPort,
  startQemu,
} from './qemu-process.ts';
import { newIdentity, socketsDir, vmFiles, type VmFiles, type VmSettings } from './vm-files.ts';

const RANK = 10;
const STOP_LOOK_MS = 100;
const DEFAULT_CPUS = 2;
const DEFAULT_MEMORY_BYTES = 4 * 2 ** 30;
const DEFAULT_USER = 'root';
const ARCH = process.arch === 'arm64' ? 'arm64' : 'x64';
const PROGRAMS = [qemuProgram(ARCH), 'qemu-img', 'ssh', 'ssh-keygen'];

type Timeouts = Readonly<Record<RungName, number>>;

export interface QemuOptions {
  readonly timeouts?: Partial<Timeouts>;
}

/** QEMU on Linux and macOS hosts; clones are overlays over an image's disk. */
export function qemuDriver({ timeouts }: QemuOptions = {}): VmDriverEntry {
  return {
    name: 'qemu',
    rank: RANK,
    consoles: ['shell', 'screen'],
    probe,
    open: (dir) => new QemuVms(dir, { ...RUNG_TIMEOUTS_MS, ...timeouts }),
  };
}

const SPEEDS: Readonly<Record<Accelerator, string>> = {
  kvm: 'guests run on the processor itself (KVM)',
  hvf: 'guests run on the processor itself (Hypervisor.framework)',
  tcg: 'guests are emulated, about ten times slower: KVM does not work here',
};

async function probe(): Promise<DriverReport> {
  const report = { name: 'qemu', rank: RANK, isolation: 'vm' } as const;
  for (const program of PROGRAMS) {
    if (await isInstalled(program)) continue;
    const detail = `${program} is not installed (Debian: qemu-system, qemu-utils, openssh-client; Homebrew: qemu)`;
    return { ...report, available: false, detail };
  }
  return { ...report, available: true, detail: SPEEDS[await accelerator()] };
}

async function isInstalled(program: string): Promise<boolean> {
  try {
    await tool(program, ['--version']);
    return true;
  } catch {
    return false;
  }
}

let known: Promise<Accelerator> | undefined;

/** Found out once: it takes a machine that starts. */
function accelerator(): Promise<Accelerator> {
  known ??= findAccelerator(ARCH);
  return known;
}

class QemuVms extends SshVms implements VmDriver {
  readonly name = 'qemu';
  readonly capabilities: VmCapabilities = {
    ...{ survivesAgent: true, images: true, volumes: 'disk' },
  };
  readonly making: VmMaking = {
    show: (name) => this.#show(name),
    reach: (name, signal) => this.reach(name, signal),
    save: (name, path, signal) => this.#save(name, path, signal),
  };
  readonly #dir: string;
  readonly #timeouts: Timeouts;

  constructor(dir: string, timeouts: Timeouts) {
    super();
    this.#dir = dir;
    this.#timeouts = timeouts;
  }

  async screen(name: string): Promise<string> {
    const files = this.#files(name);
    if ((await qemuIdentity(files)) !== undefined) return files.vnc;
    throw new VmError('missing', `VM ${name} does not run`);
  }

  /** QEMU's guests are none of the system's framework, which counts. */
  async foreignMacosGuests(): Promise<number> {
    return 0;
  }

  async list(namePrefix: string): Promise<VmInfo[]> {
    const infos: VmInfo[] = [];
    for (const name of await namesIn(this.#dir)) {
      if (!name.startsWith(namePrefix)) continue;
      const files = this.#files(name);
      if (await isThere(files)) infos.push({ name, state: await stateOf(files) });
    }
    return infos;
  }

  async clone(request: VmCloneRequest, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { name, image, path, limits } = request;
    const files = this.#files(name);
    if ((await qemuIdentity(files)) !== undefined) {
      throw new VmError('running', `VM ${name} was started; destroy it first`);
    }
    if (path === undefined) throw new VmError('bad_image', `image ${image.name} has no files`);
    const { disk, format, ...boot } = await baseImage(image.name, path);
    const settings: VmSettings = {
      ...{ name, arch: ARCH, identity: newIdentity(name, request.identity), ...boot },
      cpus: Math.max(1, Math.round(limits.cpus ?? DEFAULT_CPUS)),
      memoryBytes: limits.memoryBytes ?? DEFAULT_MEMORY_BYTES,
      user: request.user ?? DEFAULT_USER,
      ...(request.volumes === undefined ? {} : { volumes: request.volumes }),
    };
    await removeTree(files.dir);
    try {
      await mkdir(files.dir, { recursive: true, mode: 0o700 });
      const overlay = ['create', '-q', '-f', 'qcow2', '-F', format, '-b', disk, files.disk];
      const { code, why } = await tool('qemu-img', overlay, { signal });
      signal.throwIfAborted();
      if (code !== 0) {
        throw new VmError('tool_failed', `the disk of VM ${name} could not be made: ${why}`);
      }
      await writeJson(files.settings, settings, { flush: true });
    } catch (error) {
      await removeTree(files.dir);
      if (!/ENOSPC|No space left/.test((error as Error).message)) throw error;
      throw new VmError('no_space', `there is no room for VM ${name}`, { cause: error });
    }
  }

  async boot(name: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const files = this.#files(name);
    const settings = await this.#settings(name);
    if ((await stateOf(files)) === 'running') return;
    try {
      if ((await qemuIdentity(files)) === undefined) {
        await this.#start(settings, files);
      }
      await this.#climb(settings, files, signal);
      await this.markBooted(name);
    } catch (error) {
      const last = error instanceof VmError ? await lastOfConsole(files) : undefined;
      await killQemu(files);
      if (!(await isThere(files))) throw destroyed(name);
      if (last === undefined) throw error;
      const { code, message } = error as VmError;
      throw new VmError(code, `${message}; its console ends with: ${last}`, { cause: error });
    }
  }

  async stop(name: string, graceMs: number): Promise<void> {
    const files = this.#files(name);
    if (graceMs > 0 && (await pressPowerButton(files))) {
      const deadline = performance.now() + graceMs;
      while (performance.now() < deadline) {
        if ((await qemuIdentity(files)) === undefined) return;
        await sleep(STOP_LOOK_MS);
      }
    }
    await killQemu(files);
  }

  async destroy(name: string): Promise<void> {
    const files = this.#files(name);
    // First of all it is none any more: whoever waits for it sees that.
    await rm(files.settings, { force: true });
    await killQemu(files);
    await removeTree(files.dir);
    for (const socket of [files.qmp, files.vnc]) await rm(socket, { force: true });
  }

  protected async mustExist(name: string): Promise<void> {
    await this.#settings(name);
  }

  protected stateNow(name: string): Promise<VmInfo['state']> {
    return stateOf(this.#files(name));
  }

  protected async markBooted(name: string): Promise<void> {
    const files = this.#files(name);
    await writeFile(files.booted, (await qemuIdentity(files)) ?? '');
  }

  protected async letIn(): Promise<string> {
    return `put ${await this.#key()}.pub into the image (guests with systemd take it by themselves)`;
  }

  protected async findAccess(name: string): Promise<SshAccess | string> {
    return this.#accessOf(await this.#settings(name), this.#files(name));
  }

  async #show(name: string): Promise<VmScreen> {
    const files = this.#files(name);
    const settings = await this.#settings(name);
    if ((await qemuIdentity(files)) === undefined) await this.#start(settings, files);
    return { mac: settings.identity.mac, where: `VNC at the socket ${files.vnc} of this host` };
  }

  /** Into the disk that the VM's own rests on. */
  async #save(name: string, path: string, signal: AbortSignal): Promise<void> {
    const files = this.#files(name);
    await this.#settings(name);
    if ((await qemuIdentity(files)) !== undefined) {
      throw new VmError('running', `VM ${name} runs; stop it first`);
    }
    const { disk } = await baseImage(name, path);
    const { stdout } = await tool('qemu-img', ['info', '--output=json', files.disk]);
    const { 'full-backing-filename': below } = JSON.parse(stdout) as Record<string, unknown>;
    if (below !== disk) {
      throw new VmError('bad_image', `VM ${name} rests on ${String(below)}, not on ${disk}`);
    }
    const { code, why } = await tool('qemu-img', ['commit', '-q', files.disk], { signal });
    signal.throwIfAborted();
    if (code === 0) return;
    const full = /No space left/.test(why);
    throw new VmError(full ? 'no_space' : 'tool_failed', `VM ${name} cannot be kept: ${why}`);
  }

  async #start(settings: VmSettings, files: VmFiles): Promise<void> {
    await makeOwnDir(socketsDir(this.#dir));
    for (const path of [files.qmp, files.vnc, files.pid, files.booted])
      await rm(path, { force: true });
    const publicKey = await readFile(`${await this.#key()}.pub`, 'utf8');
    const args = qemuArguments({
      ...{ settings, files, publicKey: publicKey.trim() },
      accelerator: await accelerator(),
      seccomp: process.platform === 'linux',
    });
    await startQemu(qemuProgram(settings.arch), args, files);
  }

  async #climb(settings: VmSettings, files: VmFiles, signal: AbortSignal): Promise<void> {
    const { name } = settings;
    const whyGone = async () => {
      if (!(await isThere(files))) return 'it was destroyed';
      if ((await qemuIdentity(files)) !== undefined) return undefined;
      return `QEMU ended: ${(await saidByQemu(files)) || 'the guest shut down'}`;
    };
    const answers = {
      ...({ name: 'process', timeoutMs: this.#timeouts.process } as const),
      look: async () => ((await sshPort(files)) === undefined ? 'QEMU does not answer' : undefined),
    };
    await climb(name, [answers], whyGone, signal);
    const accessOf = () => this.#accessOf(settings, files);
    await climbBySsh(name, accessOf, whyGone, this.#timeouts, signal);
  }

  async #accessOf({ user }: VmSettings, files: VmFiles): Promise<SshAccess | string> {
    const port = await sshPort(files);
    if (port === undefined) return 'QEMU does not answer';
    const keyFile = await this.#key();
    return { host: '127.0.0.1', port, user, keyFile, knownHostsFile: files.knownHost };
  }

  async #settings(name: string): Promise<VmSettings> {
    const settings = await readJson<VmSettings>(this.#files(name).settings);
    if (settings === undefined) throw new VmError('missing', `there is no VM ${name}`);
    return settings;
  }

  #key(): Promise<string> {
    return guestKey(join(this.#dir, '.key', 'guest'));
  }

  #files(name: string): VmFiles {
    return vmFiles(this.#dir, name);
  }
}

async function isThere(files: VmFiles): Promise<boolean> {
  return (await readJson(files.settings)) !== undefined;
}

async function stateOf(files: VmFiles): Promise<VmInfo['state']> {
  const identity = await qemuIdentity(files);
  if (identity === undefined) return 'stopped';
  const booted = await readFile(files.booted, 'utf8').catch(() => '');
  return booted === identity ? 'running' : 'booting';
}

function destroyed(name: string): VmError {
  return new VmError('missing', `VM ${name} was destroyed`);
}

/** In a directory that everyone writes to someone else may have been faster. */
async function makeOwnDir(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const stats = await lstat(dir);
  if (stats.isDirectory() && stats.uid === process.getuid?.() && (stats.mode & 0o077) === 0) return;
  throw new VmError('tool_failed', `${dir} is not this user's alone; remove it`);
}
