import { mkdir, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { shellQuoted, type SshAccess } from '../../../platform/ssh/access.ts';
import { removeTree } from '../../../platform/tree.ts';
import type { VmInstallRequest, VmMaking, VmScreen } from '../making.ts';
import { nameGuest } from '../guest-name.ts';
import { climb, RUNG_TIMEOUTS_MS, type RungName } from '../ladder.ts';
import { reportOf } from '../report.ts';
import { replaceContent, shareOrCopy } from '../share-or-copy.ts';
import { authorizeScript, climbBySsh, guestKey } from '../ssh-guest.ts';
import { SshVms } from '../ssh-vms.ts';
import {
  VmError,
  type VmCapabilities,
  type VmCloneRequest,
  type VmDriver,
  type VmDriverEntry,
  type VmInfo,
} from '../vm.ts';
import { VmRecords } from '../vm-records.ts';
import { addressOf, isSlotLimit, Prlctl, type ParallelsVm } from './prlctl.ts';

const RANK = 20;
const DEFAULT_USER = 'admin';
const SSH_PORT = 22;
const LOOK_MS = 200;
const INSTALL_LOOK_MS = 1_000;
const INSTALL_MS = 3 * 3_600_000;
const GONE_MS = 60_000;
/** States in which a machine holds one of the host's slots. */
const STARTED: ReadonlySet<string> = new Set([
  'running',
  'starting',
  'resuming',
  'stopping',
  'paused',
]);

type Timeouts = Readonly<Record<RungName, number>>;

export interface ParallelsOptions {
  readonly timeouts?: Partial<Timeouts>;
}

interface VmRecord {
  /** As Parallels knows it. */
  readonly id: string;
  readonly user: string;
}

/**
 * Parallels Desktop, as the user has installed it. Clones are whole bundles of their own, which share
 * blocks on APFS: linked clones of macOS guests boot but never tell an address.
 */
export function parallelsDriver({ timeouts }: ParallelsOptions = {}): VmDriverEntry {
  return {
    name: 'parallels',
    rank: RANK,
    consoles: ['shell'],
    probe: () =>
      reportOf(
        { name: 'parallels', rank: RANK, tool: 'prlctl' },
        'Parallels Desktop is not installed (its Pro or Business edition has prlctl)',
      ),
    open: (dir) => new ParallelsVms(dir, { ...RUNG_TIMEOUTS_MS, ...timeouts }),
  };
}

class ParallelsVms extends SshVms implements VmDriver {
  readonly name = 'parallels';
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
  readonly #prlctl = new Prlctl();
  readonly #records: VmRecords<VmRecord>;

  constructor(dir: string, timeouts: Timeouts) {
    super();
    this.#dir = dir;
    this.#timeouts = timeouts;
    this.#records = new VmRecords(join(dir, 'records'));
  }

  async foreignMacosGuests(namePrefix: string): Promise<number> {
    let count = 0;
    for (const { ID, OS, State } of await this.#prlctl.list()) {
      if (OS !== 'macosx' || !STARTED.has(State)) continue;
      const vm = await this.#prlctl.find(ID);
      if (vm === undefined) continue;
      if (homeOf(vm) === this.#bundle(vm.Name) && vm.Name.startsWith(namePrefix)) continue;
      count += 1;
    }
    return count;
  }

  async list(namePrefix: string): Promise<VmInfo[]> {
    const infos: VmInfo[] = [];
    for (const vm of await this.#prlctl.list()) {
      if (!vm.Name.startsWith(namePrefix)) continue;
      // Its name alone is not proof enough that it is ours to destroy.
      const whole = await this.#prlctl.find(vm.ID);
      if (whole === undefined || homeOf(whole) !== this.#bundle(vm.Name)) continue;
      infos.push({ name: vm.Name, state: await this.#stateOf(vm.Name, whole) });
    }
    return infos;
  }

  async clone(request: VmCloneRequest, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { name, image, path, limits } = request;
    const before = await this.#find(name);
    if (before !== undefined && STARTED.has(before.State)) {
      throw new VmError('running', `VM ${name} is ${before.State}; destroy it first`);
    }
    await mustBeBundle(image.name, path);
    await this.#remove(name);
    const bundle = this.#bundle(name);
    try {
      await mkdir(bundle, { recursive: true, mode: 0o700 });
      await shareOrCopy(path ?? '', bundle, signal);
      await this.#prlctl.run('register', bundle, '--regenerate-src-uuid');
      const { ID: id } = await this.#registered(bundle);
      await this.#prlctl.run('set', id, '--name', name, ...sizes(limits));
      if (request.identity === undefined) {
        // A new card has a new address; where there is none yet, nothing has to go.
        await this.#prlctl.try('set', id, '--device-del', 'net0');
        await this.#prlctl.run('set', id, '--device-add', 'net', '--type', 'shared');
      }
      for (const volume of request.volumes ?? []) {
        const share = ['--shf-host-add', volume.name, '--path', volume.path, '--mode', 'rw'];
        await this.#prlctl.run('set', id, ...share);
      }
      signal.throwIfAborted();
      await this.#records.put(name, { id, user: request.user ?? DEFAULT_USER });
    } catch (error) {
      await this.#remove(name);
      if (!/ENOSPC|No space left|not enough (free )?disk space/i.test((error as Error).message))
        throw error;
      throw new VmError('no_space', `there is no room for VM ${name}`, { cause: error });
    }
  }

  async boot(name: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const record = await this.#records.get(name);
    if ((await this.#stateNow(name, record)) === 'running') return;
    try {
      await this.#start(name, record);
      await this.#climb(name, record, signal);
      await nameGuest(await this.accessNow(name), name, signal);
      await this.markBooted(name);
    } catch (error) {
      await this.stop(name, 0);
      if ((await this.#records.find(name)) !== undefined) throw error;
      throw new VmError('missing', `VM ${name} was destroyed`, { cause: error });
    }
  }

  async stop(name: string, graceMs: number): Promise<void> {
    const vm = await this.#find(name);
    if (vm === undefined || vm.State === 'stopped') return;
    if (vm.State === 'suspended') {
      await this.#prlctl.run('stop', vm.ID, '--drop-state');
    } else if (graceMs > 0) {
      await this.#prlctl.shutDown(vm.ID, graceMs);
    }
    const deadline = performance.now() + GONE_MS;
    for (let state = await this.#stateIn(vm.ID); ; state = await this.#stateIn(vm.ID)) {
      if (state === undefined || state === 'stopped' || state === 'invalid') return;
      const { why } = await this.#prlctl.try('stop', vm.ID, '--kill');
      if (performance.now() > deadline) {
        throw new VmError('tool_failed', `VM ${name} stays ${state}: ${why}`);
      }
      await sleep(LOOK_MS);
    }
  }

  async destroy(name: string): Promise<void> {
    await this.#records.forget(name);
    await this.#remove(name);
  }

  protected async mustExist(name: string): Promise<void> {
    await this.#records.get(name);
  }

  protected async stateNow(name: string): Promise<VmInfo['state']> {
    return this.#stateNow(name, await this.#records.get(name));
  }

  protected async markBooted(name: string): Promise<void> {
    await this.#records.setBooted(name, (await this.#records.get(name)).id);
  }

  protected async findAccess(name: string): Promise<SshAccess | string> {
    return this.#accessOf(name, await this.#records.get(name));
  }

  async #remove(name: string): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      await this.stop(name, 0);
      const vm = await this.#find(name);
      if (vm === undefined) break;
      // What is not whole cannot be deleted, only forgotten.
      const command = vm.State === 'invalid' ? 'unregister' : 'delete';
      const { code, why } = await this.#prlctl.try(command, vm.ID);
      if (code === 0) break;
      // A boot that is under way may have started it meanwhile.
      if (tries >= 5) throw new VmError('tool_failed', `VM ${name} cannot be deleted: ${why}`);
    }
    await removeTree(this.#bundle(name));
    await this.#records.remove(name);
  }

  async #install(request: VmInstallRequest, signal: AbortSignal): Promise<void> {
    const { name, ipsw, diskBytes, limits, user, onNote } = request;
    await this.#remove(name);
    const bundle = this.#bundle(name);
    try {
      await mkdir(dirname(bundle), { recursive: true, mode: 0o700 });
      const from = ['-o', 'macos', '--no-hdd', '--restore-image', ipsw];
      await this.#prlctl.run('create', name, ...from, '--dst', dirname(bundle));
      const { ID: id } = await this.#registered(bundle);
      const megabytes = String(Math.round(diskBytes / 2 ** 20));
      const disk = ['--device-add', 'hdd', '--type', 'plain', '--size', megabytes];
      await this.#prlctl.run('set', id, ...disk);
      // Without it no command runs in it by Parallels Tools.
      await this.#prlctl.run('set', id, '--isolate-vm', 'off', ...sizes(limits));
      await this.#prlctl.run('start', id);
      await onNote('Parallels installs macOS; this takes 10 to 30 minutes');
      await installed(join(bundle, 'parallels.log'), signal);
      await this.#records.put(name, { id, user: user ?? DEFAULT_USER });
      await this.stop(name, 0);
    } catch (error) {
      await this.#remove(name);
      throw error;
    }
  }

  async #show(name: string): Promise<VmScreen> {
    const record = await this.#records.get(name);
    await this.#prlctl.run('set', record.id, '--startup-view', 'window');
    if ((await this.#stateIn(record.id)) !== 'running') await this.#start(name, record);
    const mac = (await this.#prlctl.find(record.id))?.Hardware?.net0?.mac;
    const where = `its window in Parallels Desktop on this Mac (${name})`;
    return mac === undefined ? { where } : { mac: macText(mac), where };
  }

  async #save(name: string, path: string, signal: AbortSignal): Promise<void> {
    const { id } = await this.#records.get(name);
    const state = await this.#stateIn(id);
    if (state !== 'stopped') throw new VmError('running', `VM ${name} is ${state}; stop it first`);
    await replaceContent(this.#bundle(name), path, signal);
  }

  async #start(name: string, { id }: VmRecord): Promise<void> {
    await (await this.#records.newRun(name)).close();
    const { code, stdout, why } = await this.#prlctl.try('start', id);
    const said = `${why} ${stdout}`.trim();
    if (code === 0 || /already (started|running)/i.test(said)) return;
    if (isSlotLimit(said)) {
      const limit = 'this Mac runs as many macOS guests as it may';
      throw new VmError('slots', `VM ${name} did not start: ${limit}`);
    }
    throw new VmError('boot_failed', `VM ${name} did not start: ${said}`);
  }

  async #climb(name: string, record: VmRecord, signal: AbortSignal): Promise<void> {
    const whyGone = async () => {
      if ((await this.#records.find(name)) === undefined) return 'it was destroyed';
      // When Parallels does not answer, nothing is known.
      const state = await this.#stateIn(record.id);
      return state === 'stopped' ? 'the guest shut down' : undefined;
    };
    const runs = {
      ...({ name: 'process', timeoutMs: this.#timeouts.process } as const),
      look: async () => {
        const state = await this.#stateIn(record.id);
        return state === 'running' ? undefined : `it is ${state ?? 'gone'}`;
      },
    };
    await climb(name, [runs], whyGone, signal);
    const accessOf = () => this.#accessOf(name, record);
    const letIn = () => this.letIn(name);
    await climbBySsh(name, accessOf, whyGone, this.#timeouts, signal, letIn);
  }

  /** Puts the driver's key into the guest, where Parallels Tools run in it. Else says what to do. */
  protected async letIn(name: string): Promise<string | undefined> {
    const { id } = await this.#records.get(name);
    const key = (await readFile(`${await this.#key()}.pub`, 'utf8')).trim();
    const { code } = await this.#prlctl.inGuest(id, `sh -c ${shellQuoted(authorizeScript(key))}`);
    if (code === 0) return undefined;
    return `put ${await this.#key()}.pub into the image, or Parallels Tools and a user who logs in by itself`;
  }

  async #accessOf(name: string, { id, user }: VmRecord): Promise<SshAccess | string> {
    const vm = await this.#prlctl.find(id);
    const host = vm === undefined ? undefined : await addressOf(vm);
    if (host === undefined) return 'neither Parallels Tools nor leases nor ARP tell one';
    const keyFile = await this.#key();
    const knownHostsFile = this.#records.knownHostsFile(name);
    return { host, port: SSH_PORT, user, keyFile, knownHostsFile };
  }

  async #stateNow(name: string, { id }: VmRecord): Promise<VmInfo['state']> {
    const vm = await this.#prlctl.find(id);
    return vm === undefined ? 'unknown' : this.#stateOf(name, vm);
  }

  async #stateOf(name: string, { ID, State }: ParallelsVm): Promise<VmInfo['state']> {
    if (State === 'stopped') return 'stopped';
    if (State !== 'running') return 'unknown';
    return (await this.#records.hasBooted(name, ID)) ? 'running' : 'booting';
  }

  async #stateIn(id: string): Promise<string | undefined> {
    return (await this.#prlctl.find(id))?.State;
  }

  /** Also one that a crash left without a record. */
  async #find(name: string): Promise<ParallelsVm | undefined> {
    const record = await this.#records.find(name);
    if (record !== undefined) return this.#prlctl.find(record.id);
    return this.#registered(this.#bundle(name)).catch(() => undefined);
  }

  async #registered(bundle: string): Promise<ParallelsVm> {
    for (const { ID } of await this.#prlctl.list()) {
      const vm = await this.#prlctl.find(ID);
      if (vm !== undefined && homeOf(vm) === bundle) return vm;
    }
    throw new VmError('tool_failed', `Parallels does not list ${bundle}, which was registered`);
  }

  #key(): Promise<string> {
    return guestKey(join(this.#dir, '.key', 'guest'));
  }

  #bundle(name: string): string {
    return join(this.#dir, 'vms', `${name}.macvm`);
  }
}

function homeOf(vm: ParallelsVm): string {
  return (vm['Home path'] || vm.Home).replace(/\/(config\.pvs)?$/, '');
}

function sizes({ cpus, memoryBytes }: VmCloneRequest['limits']): string[] {
  return [
    ...(cpus === undefined ? [] : ['--cpus', String(Math.max(1, Math.round(cpus)))]),
    ...(memoryBytes === undefined ? [] : ['--memsize', String(Math.floor(memoryBytes / 2 ** 20))]),
  ];
}

/** As it is written elsewhere: `00:1c:42:00:00:00`. */
function macText(mac: string): string {
  return mac.toLowerCase().replaceAll(/[0-9a-f]{2}(?=[0-9a-f])/g, '$&:');
}

/** Parallels tells of an installation in the machine's log alone. Throws `VmError`. */
async function installed(log: string, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + INSTALL_MS;
  for (;;) {
    const said = await readFile(log, 'utf8').catch(() => '');
    if (said.includes('Installation succeeded')) return;
    const failed = /^.*(Installation failed|Cancelled\(1\)).*$/m.exec(said)?.[0];
    if (failed !== undefined)
      throw new VmError('tool_failed', `macOS was not installed: ${failed}`);
    if (performance.now() > deadline) {
      throw new VmError(
        'tool_failed',
        `macOS was not installed in ${INSTALL_MS / 3_600_000} hours`,
      );
    }
    await sleep(INSTALL_LOOK_MS, undefined, { signal });
  }
}

async function mustBeBundle(image: string, path: string | undefined): Promise<void> {
  if (path !== undefined && (await stat(join(path, 'config.pvs')).catch(() => undefined))) return;
  throw new VmError(
    'bad_image',
    `image ${image} is no machine of Parallels: it lacks config.pvs; import the directory NAME.macvm`,
  );
}
