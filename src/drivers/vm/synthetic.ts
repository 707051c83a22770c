import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DriverReport } from '../../domain/host.ts';
import {
  VmError,
  type VmCapabilities,
  type VmCloneRequest,
  type VmCommand,
  type VmDriver,
  type VmDriverEntry,
  type VmExit,
  type VmInfo,
} from './vm.ts';

/** What happens in a synthetic world; injected, so that tests and simulations decide it. */
export interface SyntheticWorld {
  /** Waits by the world's clock. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** A number from 0 up to 1. */
  random(): number;
  readonly bootMs: number;
  /** Chances, from 0 to 1. */
  readonly bootFails: number;
  readonly bootHangs: number;
  readonly execFails: number;
  /** Guests that may exist at once. */
  readonly slots: number;
  /** The VMs there are, by name. Shared by drivers of one world, it outlives each of them. */
  readonly vms: Map<string, VmInfo['state']>;
}

export const calmWorld = (): SyntheticWorld => ({
  sleep: async (ms, signal) => void (await sleep(ms, undefined, { signal })),
  random: Math.random,
  bootMs: 0,
  bootFails: 0,
  bootHangs: 0,
  execFails: 0,
  slots: Number.POSITIVE_INFINITY,
  vms: new Map(),
});

export interface SyntheticOptions {
  readonly world?: SyntheticWorld;
  /** Whether workers may be made of it: never on a host that is meant to do real work. */
  readonly offered: boolean;
}

/**
 * Virtual machines that are none: for demos, load and simulation. Their commands are `true`,
 * `false`, `exit N`, `sleep SECONDS` and `echo WORDS`; any other is not found (127).
 */
export function syntheticDriver(options: SyntheticOptions): VmDriverEntry {
  const { world = calmWorld(), offered } = options;
  const report: DriverReport = {
    name: 'synthetic',
    rank: 0,
    available: offered,
    detail: offered
      ? 'SYNTHETIC: nothing real runs; for demos and load tests'
      : 'it runs nothing for real; only agents started with --synthetic offer it',
    isolation: 'none',
  };
  return {
    name: report.name,
    rank: report.rank,
    consoles: [],
    probe: async () => report,
    open: () => new SyntheticVms(world),
  };
}

/** As long as a timer can be. */
const FOR_EVER_MS = 2 ** 31 - 1;

class SyntheticVms implements VmDriver {
  readonly name = 'synthetic';
  readonly capabilities: VmCapabilities = { survivesAgent: false, images: false, volumes: 'none' };
  readonly #world: SyntheticWorld;
  /** Ends what goes on in a VM, by its name. */
  readonly #power = new Map<string, AbortController>();
  /** What was copied into a VM, by its name and then by path. */
  readonly #files = new Map<string, Map<string, Buffer>>();

  constructor(world: SyntheticWorld) {
    this.#world = world;
  }

  async foreignMacosGuests(): Promise<number> {
    return 0;
  }

  async list(namePrefix: string): Promise<VmInfo[]> {
    return [...this.#world.vms]
      .filter(([name]) => name.startsWith(namePrefix))
      .map(([name, state]) => ({ name, state }));
  }

  async clone({ name }: VmCloneRequest, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { vms, slots } = this.#world;
    const state = vms.get(name);
    if (state !== undefined && state !== 'stopped') {
      throw new VmError('running', `VM ${name} is ${state}; destroy it first`);
    }
    if (state === undefined && vms.size >= slots) {
      throw new VmError('slots', `all ${slots} VM slots of this host are in use`);
    }
    vms.set(name, 'stopped');
  }

  async boot(name: string, signal: AbortSignal): Promise<void> {
    const world = this.#world;
    const { vms, bootMs, bootFails, bootHangs } = world;
    if (this.#stateOf(name) === 'running') return;
    vms.set(name, 'booting');
    await this.#pass(name, world.random() < bootHangs ? FOR_EVER_MS : bootMs, signal);
    if (world.random() < bootFails) {
      vms.set(name, 'stopped');
      throw new VmError('boot_failed', `VM ${name} did not boot`);
    }
    vms.set(name, 'running');
  }

  async exec(name: string, command: VmCommand, signal: AbortSignal): Promise<VmExit> {
    this.#mustRun(name);
    signal.throwIfAborted();
    if (this.#world.random() < this.#world.execFails) {
      throw new VmError('exec_failed', `the connection to VM ${name} was lost`);
    }
    const [program = '', ...args] = command.argv;
    switch (program) {
      case 'true':
        return { exitCode: 0 };
      case 'false':
        return { exitCode: 1 };
      case 'exit':
        return { exitCode: Math.trunc(Number(args[0] ?? 0)) & 0xff };
      case 'sleep':
        await this.#pass(name, Number(args[0] ?? 0) * 1000, signal);
        return { exitCode: 0 };
      case 'echo':
        await command.onOutput(Buffer.from(`${args.join(' ')}\n`));
        return { exitCode: 0 };
      default:
        await command.onOutput(Buffer.from(`${program}: not found\n`));
        return { exitCode: 127 };
    }
  }

  async access(name: string): Promise<undefined> {
    this.#mustRun(name);
  }

  async copyIn(name: string, dir: string, guestDir: string): Promise<void> {
    this.#mustRun(name);
    const files = this.#files.get(name) ?? new Map<string, Buffer>();
    this.#files.set(name, files);
    for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isFile()) files.set(join(guestDir, relative(dir, path)), await readFile(path));
    }
  }

  async copyOut(name: string, guestDir: string, dir: string): Promise<void> {
    this.#mustRun(name);
    for (const [path, content] of this.#files.get(name) ?? []) {
      const target = join(dir, relative(guestDir, path));
      if (relative(guestDir, path).startsWith('..')) continue;
      await mkdir(dirname(target), { recursive: true });
      await writeFile(target, content);
    }
  }

  async stop(name: string): Promise<void> {
    const { vms } = this.#world;
    if (vms.has(name)) vms.set(name, 'stopped');
    this.#cutPower(name);
  }

  async destroy(name: string): Promise<void> {
    this.#world.vms.delete(name);
    this.#files.delete(name);
    this.#cutPower(name);
  }

  #cutPower(name: string): void {
    this.#power.get(name)?.abort();
    this.#power.delete(name);
  }

  #mustRun(name: string): void {
    const state = this.#stateOf(name);
    if (state !== 'running') throw new VmError('exec_failed', `VM ${name} is ${state}`);
  }

  #stateOf(name: string): VmInfo['state'] {
    const state = this.#world.vms.get(name);
    if (state === undefined) throw new VmError('missing', `there is no VM ${name}`);
    return state;
  }

  /** Lets time pass in a VM; throws when the VM is destroyed meanwhile. */
  async #pass(name: string, ms: number, signal: AbortSignal): Promise<void> {
    let power = this.#power.get(name);
    if (power === undefined) this.#power.set(name, (power = new AbortController()));
    const over = AbortSignal.any([signal, power.signal]);
    try {
      await this.#world.sleep(Math.min(ms, FOR_EVER_MS), over);
    } catch (error) {
      if (!power.signal.aborted) throw error;
    }
    if (!power.signal.aborted) return;
    if (!this.#world.vms.has(name)) throw new VmError('missing', `VM ${name} was destroyed`);
    throw new VmError('exec_failed', `VM ${name} was stopped`);
  }
}
