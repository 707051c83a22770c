import { syntheticDriver } from './synthetic.ts';
import type { VmDriverEntry } from './vm.ts';

/** Every VM driver there is, for one host. */
export function vmDrivers(): Readonly<Record<string, VmDriverEntry>> {
  return { synthetic: syntheticDriver() };
}
