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

/**
 * Virtual machines that are none: for demos, load and simulation. Their commands are `true`,
 * `false`, `exit N`, `sleep SECONDS` and `echo WORDS`; any other is not found (127).
 */
export function syntheticDriver(world: SyntheticWorld = calmWorld()): VmDriverEntry {
  const report: DriverReport = {
    name: 'synthetic',
    rank: 0,
    available: true,
    detail: 'SYNTHETIC: nothing real runs; for demos and load tests',
    isolation: 'none',
  };
  return {
    name: report.name,
    rank: report.rank,
    probe: async () => report,
    open: () => new SyntheticVms(world),
  };
}

class SyntheticVms implements VmDriver {
  readonly name = 'synthetic';
  readonly capabilities: VmCapabilities = { survivesAgent: false };
  readonly #world: SyntheticWorld;

  constructor(world: SyntheticWorld) {
    this.#world = world;
  }

  async list(namePrefix: string): Promise<VmInfo[]> {
    return [...this.#world.vms]
      .filter(([name]) => name.startsWith(namePrefix))
      .map(([name, state]) => ({ name, state }));
  }

  async clone({ name }: VmCloneRequest, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { vms, slots } = this.#world;
    if (!vms.has(name) && vms.size >= slots) {
      throw new VmError('slots', `all ${slots} VM slots of this host are in use`);
    }
    vms.set(name, 'stopped');
  }

  async boot(name: string, signal: AbortSignal): Promise<void> {
    const { vms, bootMs, bootFails, bootHangs } = this.#world;
    this.#expect(name);
    vms.set(name, 'booting');
    if (this.#world.random() < bootHangs) await this.#world.sleep(2 ** 31 - 1, signal);
    await this.#world.sleep(bootMs, signal);
    if (this.#world.random() < bootFails) {
      vms.set(name, 'stopped');
      throw new VmError('boot_failed', `VM ${name} did not boot`);
    }
    vms.set(name, 'running');
  }

  async exec(name: string, command: VmCommand, signal: AbortSignal): Promise<VmExit> {
    this.#expect(name);
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
        return { exitCode: Number(args[0] ?? 0) };
      case 'sleep':
        await this.#world.sleep(Number(args[0] ?? 0) * 1000, signal);
        return { exitCode: 0 };
      case 'echo':
        await command.onOutput(Buffer.from(`${args.join(' ')}\n`));
        return { exitCode: 0 };
      default:
        await command.onOutput(Buffer.from(`${program}: not found\n`));
        return { exitCode: 127 };
    }
  }

  async destroy(name: string): Promise<void> {
    this.#world.vms.delete(name);
  }

  #expect(name: string): void {
    if (!this.#world.vms.has(name)) throw new VmError('missing', `there is no VM ${name}`);
  }
}
