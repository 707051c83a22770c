import type { HostFacts } from '../domain/host.ts';
import { ownedPrefix } from '../domain/ids.ts';
import type { Leak } from '../domain/leak.ts';
import type { Logger } from '../platform/logger.ts';
import { HostTasks, type HostTools } from './host-tasks.ts';
import { LeftoverWatch, type Leftover } from './leftovers.ts';
import { RentedHost, type Rent } from './rented.ts';
import type { WorkerRuntime } from './runtime.ts';
import { MacosSlotWatch } from './vms/macos-slots.ts';
import type { VmRuntime } from './vms/vm-runtime.ts';
import type { Volumes } from './volumes/volumes.ts';
import type { Worker } from './worker.ts';

export interface HostCareParts {
  readonly dataDir: string;
  readonly fleet: string;
  readonly macosVms: number;
  readonly tools?: HostTools | undefined;
  readonly rent?: Rent | undefined;
  readonly runtimes: readonly WorkerRuntime[];
  readonly vms: VmRuntime;
  readonly volumes: Volumes;
  workers(): Iterable<Worker>;
  /** Whether a controller listens. */
  isConnected(): boolean;
  /** Something changed that each whole report tells. */
  changed(): void;
  factsChanged(facts: Partial<HostFacts>): void;
  /** The host was given back: the agent has nothing more to do. */
  ended(): void;
  readonly log: Logger;
}

/** What an agent does for its host beside the workers: tasks, leftovers, macOS slots, the end of its rent. */
export class HostCare {
  readonly tasks: HostTasks;
  readonly #parts: HostCareParts;
  #leftovers: LeftoverWatch | undefined;
  #slots: MacosSlotWatch | undefined;
  #rented: RentedHost | undefined;

  constructor(parts: HostCareParts) {
    this.#parts = parts;
    const { dataDir, tools, log } = parts;
    this.tasks = new HostTasks({
      ...{ dataDir, tools, log },
      clean: async () => this.#leftovers?.look(0),
      changed: () => parts.changed(),
    });
  }

  get leaks(): readonly Leak[] {
    return this.#leftovers?.leaks ?? [];
  }

  /** Once all workers there are have been found: what belongs to none of them goes. */
  async start(): Promise<void> {
    const { volumes, log, rent, dataDir } = this.#parts;
    await this.tasks.recover();
    for (const leftover of await this.#find()) await leftover.remove();
    await volumes.sweep();
    this.#leftovers = new LeftoverWatch({
      ...{ find: () => this.#find(), log },
      changed: () => this.#parts.changed(),
    });
    this.#watchSlots();
    if (rent === undefined) return;
    this.#rented = await RentedHost.start({
      ...{ ...rent, dataDir, log },
      isConnected: () => this.#parts.isConnected(),
      busy: () => [...this.#parts.workers()].filter(isBusy).length,
      ended: () => this.#parts.ended(),
    });
    this.#parts.factsChanged({ endsAt: this.#rented.endsAt });
  }

  /** The system refused a macOS guest for want of a slot. */
  async slotRefused(): Promise<void> {
    await this.#slots?.refused();
  }

  /** The controllers want this host no more. False when it is not rented. */
  async giveBack(reason: string): Promise<boolean> {
    await this.#rented?.giveBack(reason);
    return this.#rented !== undefined;
  }

  async close(): Promise<void> {
    await this.tasks.close();
    await this.#leftovers?.close();
    this.#slots?.close();
    await this.#rented?.close();
  }

  #watchSlots(): void {
    const { macosVms, dataDir, tools, log, vms, fleet } = this.#parts;
    if (macosVms === 0) return;
    this.#slots = new MacosSlotWatch({
      ...{ dataDir, rebootCommand: tools?.rebootCommand, log },
      ...{ drivers: () => vms.drivers(), ownedPrefix: ownedPrefix(fleet) },
      workers: () => [...this.#parts.workers()].filter((worker) => !worker.isGone).length,
      changed: (macosSlots) => this.#parts.factsChanged({ macosSlots }),
    });
  }

  /** All with an owned name on this host that belongs to no worker. */
  async #find(): Promise<Leftover[]> {
    const { runtimes, volumes, workers } = this.#parts;
    const isKnown = (name: string) => [...workers()].some(({ record }) => record.name === name);
    // Workers of some kinds share stores: what both find is the same thing.
    const found = new Map<string, Leftover>();
    for (const finder of [...runtimes, volumes]) {
      for (const leftover of await finder.leftovers(isKnown)) {
        found.set(`${leftover.kind}/${leftover.name}`, leftover);
      }
    }
    return [...found.values()];
  }
}

function isBusy({ observed: { jobId, state } }: Worker): boolean {
  return jobId !== undefined && state !== 'destroyed';
}
