import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readJson } from '../../../platform/atomic-file.ts';
import { findProcesses, processIdentity, signalProcess } from '../../../platform/process-table.ts';
import type { SshAccess } from '../../../platform/ssh/access.ts';
import { namesIn } from '../../../platform/names-in.ts';
import { removeTree } from '../../../platform/tree.ts';
import type { VmInstallRequest, VmMaking, VmScreen } from '../making.ts';
import { nameGuest } from '../guest-name.ts';
import { climb, RUNG_TIMEOUTS_MS, type RungName } from '../ladder.ts';
import { authorizeScript, climbBySsh, guestKey } from '../ssh-guest.ts';
import { reportOf } from '../report.ts';
import { replaceContent, shareOrCopy } from '../share-or-copy.ts';
import { SshVms } from '../ssh-vms.ts';
import { VmRecords } from '../vm-records.ts';
import {
  VmError,
  type VmCapabilities,
  type VmCloneRequest,
  type VmDriver,
  type VmDriverEntry,
  type VmInfo,
  type VmVolume,
} from '../vm.ts';
import { isSlotLimit, NOT_IN_THAT_STATE, TartCommand } from './tart-command.ts';

const RANK = 30;
const DEFAULT_USER = 'admin';
const SSH_PORT = 22;
/** Longer than replacing a program takes. */
const SECOND_LOOK_MS = 20;
const LOOK_MS = 100;
const GONE_MS = 15_000;
const DELETES = 5;
/** What a machine's bundle consists of. */
const PARTS = ['config.json', 'disk.img', 'nvram.bin'];
/** Where addresses are looked for, one after the other. */
const RESOLVERS = ['dhcp', 'arp'];
/** In the environment of each `tart run`, with the path of the machine: how it is found after a crash. */
const MARK = 'POMONA_TART_VM';

type Timeouts = Readonly<Record<RungName, number>>;

export interface TartOptions {
  readonly timeouts?: Partial<Timeouts>;
}

/** What the driver keeps of each machine, beside what Tart does; written last. */
interface VmRecord {
  readonly user: string;
  readonly volumes?: readonly VmVolume[];
}

/**
 * Tart, as the user has installed it, on Macs with Apple silicon. Its licence lets nobody ship it:
 * it is only called.
 */
export function tartDriver({ timeouts }: TartOptions = {}): VmDriverEntry {
  return {
    name: 'tart',
    rank: RANK,
    consoles: ['shell'],
    probe: () =>
      reportOf(
        { name: 'tart', rank: RANK },
        'Tart is not installed (macOS: brew install cirruslabs/cli/tart)',
      ),
    open: (dir) => new TartVms(dir, { ...RUNG_TIMEOUTS_MS, ...timeouts }),
  };
}

class TartVms extends SshVms implements VmDriver {
  readonly name = 'tart';
  readonly capabilities: VmCapabilities = {
    ...{ survivesAgent: true, images: true, volumes: 'share' },
  };
  readonly making: VmMaking = {
    install: (request, signal) => this.#install(request, signal),
    show: (name) => this.#show(name),
    reach: (name, signal) => this.reach(name, signal),
    save: (name, path, signal) => this.#save(name, path, signal),
  };
  readonly #dir: string;
  readonly #timeouts: Timeouts;
  readonly #tart: TartCommand;
  readonly #records: VmRecords<VmRecord>;

  constructor(dir: string, timeouts: Timeouts) {
    super();
    this.#dir = dir;
    this.#timeouts = timeouts;
    this.#tart = new TartCommand(join(dir, 'home'));
    this.#records = new VmRecords(join(dir, 'records'));
  }

  async foreignMacosGuests(namePrefix: string): Promise<number> {
    const others = TartCommand.ofUser();
    const here = await this.#tart.runningMacos((name) => !name.startsWith(namePrefix));
    return others.home === this.#tart.home ? here : here + (await others.runningMacos());
  }

  async list(namePrefix: string): Promise<VmInfo[]> {
    // Also what a crash left half-made, so that it is removed.
    const made = await namesIn(join(this.#tart.home, 'vms'));
    const infos: VmInfo[] = [];
    for (const name of made.filter((each) => each.startsWith(namePrefix))) {
      infos.push({ name, state: await this.#stateOf(name) });
    }
    return infos;
  }

  async clone(request: VmCloneRequest, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { name, image, path, limits, guest } = request;
    if ((await this.#identity(name)) !== undefined) {
      throw new VmError('running', `VM ${name} was started; destroy it first`);
    }
    await mustBeBundle(image.name, path);
    const bundle = this.#bundle(name);
    await this.#remove(name);
    try {
      await mkdir(bundle, { recursive: true, mode: 0o700 });
      await shareOrCopy(path ?? '', bundle, signal);
      // What was suspended cannot go on as another machine.
      await rm(join(bundle, 'state.vzvmsave'), { force: true });
      const changes = [
        ...(request.identity === undefined ? freshIdentity(guest) : []),
        ...sizes(limits),
      ];
      if (changes.length > 0) await this.#tart.run('set', name, ...changes);
      signal.throwIfAborted();
      const { user = DEFAULT_USER, volumes = [] } = request;
      await this.#records.put(name, { user, volumes });
    } catch (error) {
      await this.#remove(name);
      if (!/ENOSPC|No space left/.test((error as Error).message)) throw error;
      throw new VmError('no_space', `there is no room for VM ${name}`, { cause: error });
    }
  }

  async boot(name: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const record = await this.#records.get(name);
    if ((await this.#stateOf(name)) === 'running') return;
    try {
      if ((await this.#identity(name)) === undefined) await this.#start(name);
      await this.#climb(name, record, signal);
      await nameGuest(await this.accessNow(name), name, signal);
      await this.markBooted(name);
    } catch (error) {
      const printed = await this.#records.printed(name);
      await this.stop(name, 0);
      if ((await this.#records.find(name)) === undefined) {
        throw new VmError('missing', `VM ${name} was destroyed`, { cause: error });
      }
      if (!isSlotLimit(printed)) throw error;
      throw new VmError(
        'slots',
        `VM ${name} did not start: this Mac runs as many macOS guests as it may`,
        {
          cause: error,
        },
      );
    }
  }

  async stop(name: string, graceMs: number): Promise<void> {
    const identity = await this.#identity(name);
    if (identity === undefined) return;
    if (graceMs > 0) {
      await signalProcess(identity, 'SIGUSR2');
      const deadline = performance.now() + graceMs;
      while (performance.now() < deadline) {
        if ((await this.#identity(name)) === undefined) return;
        await sleep(LOOK_MS);
      }
    }
    await cutPower(this.#bundle(name));
  }

  async destroy(name: string): Promise<void> {
    await this.#records.forget(name);
    await this.#remove(name);
  }

  protected async mustExist(name: string): Promise<void> {
    await this.#records.get(name);
  }

  protected stateNow(name: string): Promise<VmInfo['state']> {
    return this.#stateOf(name);
  }

  protected async markBooted(name: string): Promise<void> {
    await this.#records.setBooted(name, (await this.#identity(name)) ?? '');
  }

  protected async findAccess(name: string): Promise<SshAccess | string> {
    return this.#accessOf(name, await this.#records.get(name));
  }

  async #remove(name: string): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      await cutPower(this.#bundle(name));
      const { code, why } = await this.#tart.try('delete', name);
      if (code === 0 || code === NOT_IN_THAT_STATE) break;
      // A boot that is under way may have started it meanwhile.
      if (tries < DELETES && (await this.#identity(name)) !== undefined) continue;
      throw new VmError('tool_failed', `VM ${name} cannot be deleted: ${why}`);
    }
    // What a crash left is none for Tart.
    await removeTree(this.#bundle(name));
    await this.#records.remove(name);
  }

  async #install(request: VmInstallRequest, signal: AbortSignal): Promise<void> {
    const { name, ipsw, diskBytes, limits, user, onNote } = request;
    if ((await this.#identity(name)) !== undefined) {
      throw new VmError('running', `VM ${name} was started; destroy it first`);
    }
    await this.#remove(name);
    try {
      const disk = String(Math.max(1, Math.round(diskBytes / 1e9)));
      await onNote('Tart installs macOS; this takes 10 to 30 minutes');
      await this.#tart.slow(signal, 'create', name, '--from-ipsw', ipsw, '--disk-size', disk);
      if (sizes(limits).length > 0) await this.#tart.run('set', name, ...sizes(limits));
      await this.#records.put(name, { user: user ?? DEFAULT_USER });
    } catch (error) {
      await this.#remove(name);
      throw error;
    }
  }

  async #show(name: string): Promise<VmScreen> {
    await this.#records.get(name);
    if ((await this.#identity(name)) === undefined) await this.#start(name, true);
    const config = await readJson<{ macAddress?: string }>(join(this.#bundle(name), 'config.json'));
    const mac = config?.macAddress;
    const where = 'a window on the desktop of this Mac';
    return mac === undefined ? { where } : { mac, where };
  }

  async #save(name: string, path: string, signal: AbortSignal): Promise<void> {
    await this.#records.get(name);
    if ((await this.#identity(name)) !== undefined) {
      throw new VmError('running', `VM ${name} runs; stop it first`);
    }
    await replaceContent(this.#bundle(name), path, signal);
  }

  async #start(name: string, screen = false): Promise<void> {
    const { volumes = [] } = await this.#records.get(name);
    const output = await this.#records.newRun(name);
    try {
      const quiet = screen ? [] : ['--no-graphics'];
      const shares = volumes.map((volume) => `--dir=${volume.name}:${volume.path}`);
      const args = ['run', name, ...quiet, '--no-audio', '--no-clipboard', ...shares];
      const child = spawn('tart', args, {
        ...{ detached: true, cwd: '/', stdio: ['ignore', output.fd, output.fd] },
        env: { ...process.env, ...this.#tart.env, [MARK]: this.#bundle(name) },
      });
      await once(child, 'spawn');
      child.unref();
    } finally {
      await output.close();
    }
  }

  async #climb(name: string, record: VmRecord, signal: AbortSignal): Promise<void> {
    const whyGone = async () => {
      if ((await this.#records.find(name)) === undefined) return 'it was destroyed';
      if ((await this.#identity(name)) !== undefined) return undefined;
      return `tart run ended: ${(await this.#records.printed(name)) || 'the guest shut down'}`;
    };
    const runs = {
      ...({ name: 'process', timeoutMs: this.#timeouts.process } as const),
      look: async () =>
        (await this.#tart.list()).get(name) === true
          ? undefined
          : 'Tart does not list it as running',
    };
    await climb(name, [runs], whyGone, signal);
    const accessOf = () => this.#accessOf(name, record);
    const letIn = () => this.letIn(name);
    await climbBySsh(name, accessOf, whyGone, this.#timeouts, signal, letIn);
  }

  /** Puts the driver's key into the guest, where Tart's guest agent runs in it. Else says what to do. */
  protected async letIn(name: string): Promise<string | undefined> {
    const key = (await readFile(`${await this.#key()}.pub`, 'utf8')).trim();
    const { code } = await this.#tart.try('exec', name, 'sh', '-c', authorizeScript(key));
    if (code === 0) return undefined;
    return `put ${await this.#key()}.pub into the image, or Tart's guest agent, which puts it there`;
  }

  async #accessOf(name: string, { user }: VmRecord): Promise<SshAccess | string> {
    let matter = '';
    for (const resolver of RESOLVERS) {
      const { code, stdout, why } = await this.#tart.try('ip', name, '--resolver', resolver);
      const host = stdout.trim();
      if (code !== 0 || host === '') {
        matter = why;
        continue;
      }
      const keyFile = await this.#key();
      const knownHostsFile = this.#records.knownHostsFile(name);
      return { host, port: SSH_PORT, user, keyFile, knownHostsFile };
    }
    return matter || 'Tart tells none';
  }

  async #stateOf(name: string): Promise<VmInfo['state']> {
    const identity = await this.#identity(name);
    if (identity === undefined) return 'stopped';
    return (await this.#records.hasBooted(name, identity)) ? 'running' : 'booting';
  }

  #identity(name: string): Promise<string | undefined> {
    return runIdentity(this.#bundle(name));
  }

  #key(): Promise<string> {
    return guestKey(join(this.#dir, '.key', 'guest'));
  }

  #bundle(name: string): string {
    return join(this.#tart.home, 'vms', name);
  }
}

function freshIdentity(guest: VmCloneRequest['guest']): string[] {
  return ['--random-mac', ...(guest === 'macos' ? ['--random-serial'] : [])];
}

function sizes({ cpus, memoryBytes }: VmCloneRequest['limits']): string[] {
  return [
    ...(cpus === undefined ? [] : ['--cpu', String(Math.max(1, Math.round(cpus)))]),
    ...(memoryBytes === undefined ? [] : ['--memory', String(Math.floor(memoryBytes / 2 ** 20))]),
  ];
}

/** Identity of the `tart run` of a machine, which lives as long as the machine runs. */
async function runIdentity(bundle: string): Promise<string | undefined> {
  for (const pid of await findProcesses({ environment: `${MARK}=${bundle}` })) {
    const identity = await processIdentity(pid);
    if (identity !== undefined) return identity;
  }
  return undefined;
}

async function cutPower(bundle: string): Promise<void> {
  const deadline = performance.now() + GONE_MS;
  for (let signal: NodeJS.Signals = 'SIGINT'; ; signal = 'SIGKILL') {
    const identity = (await runIdentity(bundle)) ?? (await secondLook(bundle));
    if (identity === undefined) return;
    await signalProcess(identity, signal);
    for (let looks = 0; looks < 20 && (await runIdentity(bundle)) === identity; looks += 1) {
      await sleep(LOOK_MS);
    }
    if (performance.now() > deadline) {
      throw new VmError('tool_failed', `tart run of ${bundle} does not end`);
    }
  }
}

/** A process that just now executes another program shows no environment for a moment. */
async function secondLook(bundle: string): Promise<string | undefined> {
  await sleep(SECOND_LOOK_MS);
  return runIdentity(bundle);
}

async function mustBeBundle(image: string, path: string | undefined): Promise<void> {
  const lacking: string[] = [];
  for (const part of PARTS) {
    const there = path !== undefined && (await stat(join(path, part)).catch(() => undefined));
    if (there === undefined || there === false) lacking.push(part);
  }
  if (lacking.length === 0) return;
  throw new VmError(
    'bad_image',
    `image ${image} is no machine of Tart: it lacks ${lacking.join(', ')}; import the directory ~/.tart/vms/NAME`,
  );
}
