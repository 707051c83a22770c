import { join } from 'node:path';
import { MACOS_VMS_PER_HOST, type MacosSlots } from '../../domain/host.ts';
import type { VmDriver } from '../../drivers/vm/vm.ts';
import { readJson, writeJson } from '../../platform/atomic-file.ts';
import type { Logger } from '../../platform/logger.ts';
import { bootId } from '../../platform/process-table.ts';
import { tool } from '../../platform/tool.ts';

const LOOK_EVERY_MS = 30_000;
const REBOOT_MS = 60_000;

/** slot-leak.json: during which run of the machine a slot was seen to have leaked. */
interface LeakRecord {
  readonly boot: string;
}

export interface SlotParts {
  readonly dataDir: string;
  /** The VM drivers that work here. */
  drivers(): Promise<readonly VmDriver[]>;
  /** Names of our own VMs begin so. */
  readonly ownedPrefix: string;
  /** Workers there are on this host, of any kind. */
  workers(): number;
  /** A line of shell that reboots the host; absent: a person does. */
  readonly rebootCommand?: string | undefined;
  readonly log: Logger;
  changed(slots: MacosSlots): void;
}

/**
 * What takes this Mac's slots for macOS guests. A slot has leaked when the system refuses a guest with fewer
 * running than it allows; then the host drains, is rebooted when nothing is left on it, and comes back.
 */
export class MacosSlotWatch {
  readonly #parts: SlotParts;
  readonly #path: string;
  readonly #timer: NodeJS.Timeout;
  #slots: MacosSlots = { foreign: 0, leaked: false };
  #rebooting = false;

  constructor(parts: SlotParts) {
    this.#parts = parts;
    this.#path = join(parts.dataDir, 'slot-leak.json');
    this.#timer = setInterval(() => void this.look(), LOOK_EVERY_MS);
    void this.look();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Looks again, tells what changed, and reboots when it is time. Never throws. */
  async look(): Promise<void> {
    try {
      const record = await readJson<LeakRecord>(this.#path);
      const leaked = record !== undefined && record.boot === (await bootId());
      this.#tell({ foreign: await this.#foreign(), leaked });
      if (leaked && this.#parts.workers() === 0) await this.#reboot();
    } catch (error) {
      this.#parts.log.log('warn', 'the macOS VM slots cannot be looked at', { error });
    }
  }

  /** The system refused a guest for want of a slot. */
  async refused(): Promise<void> {
    const foreign = await this.#foreign();
    const own = await this.#own();
    // One of ours is the one that was refused.
    if (foreign + own >= MACOS_VMS_PER_HOST) return this.#tell({ ...this.#slots, foreign });
    this.#parts.log.log('error', 'a macOS VM slot has leaked; the host drains, to be rebooted', {
      foreign,
      own,
    });
    await writeJson(this.#path, { boot: await bootId() } satisfies LeakRecord, { flush: true });
    await this.look();
  }

  async #foreign(): Promise<number> {
    const drivers = await this.#parts.drivers();
    const counts = await Promise.all(
      drivers.map((driver) => driver.foreignMacosGuests(this.#parts.ownedPrefix)),
    );
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** Ours that hold a slot; what is not known does. */
  async #own(): Promise<number> {
    const drivers = await this.#parts.drivers();
    const lists = await Promise.all(drivers.map((driver) => driver.list(this.#parts.ownedPrefix)));
    return lists.flat().filter(({ state }) => state !== 'stopped').length;
  }

  #tell(slots: MacosSlots): void {
    const { foreign, leaked } = this.#slots;
    if (slots.foreign === foreign && slots.leaked === leaked) return;
    this.#slots = slots;
    this.#parts.changed(slots);
  }

  async #reboot(): Promise<void> {
    const { rebootCommand, log } = this.#parts;
    if (this.#rebooting) return;
    if (rebootCommand === undefined) {
      log.log(
        'warn',
        'this host has to be rebooted for a leaked macOS VM slot; nothing runs on it',
      );
      return;
    }
    this.#rebooting = true;
    log.log('warn', 'this host is rebooted for a leaked macOS VM slot');
    const { code, why } = await tool('sh', ['-c', rebootCommand], { timeoutMs: REBOOT_MS });
    if (code === 0) return;
    this.#rebooting = false;
    log.log('error', 'the host could not be rebooted', { why });
  }
}
