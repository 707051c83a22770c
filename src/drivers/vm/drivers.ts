import { parallelsDriver } from './parallels/parallels.ts';
import { qemuDriver } from './qemu/qemu.ts';
import { syntheticDriver } from './synthetic.ts';
import { tartDriver } from './tart/tart.ts';
import type { VmDriverEntry } from './vm.ts';

/** Every VM driver there is. Pretended machines are offered by hosts that pretend to be one alone. */
export const VM_DRIVERS: Readonly<Record<string, VmDriverEntry>> = {
  parallels: parallelsDriver(),
  qemu: qemuDriver(),
  synthetic: syntheticDriver({ offered: false }),
  tart: tartDriver(),
};

/** What a pretended host has: a world of its own. */
export function syntheticVmDrivers(): Readonly<Record<string, VmDriverEntry>> {
  return { synthetic: syntheticDriver({ offered: true }) };
}
