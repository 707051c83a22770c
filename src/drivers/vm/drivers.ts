import { syntheticDriver } from './synthetic.ts';
import type { VmDriverEntry } from './vm.ts';

/** Every VM driver there is, for one host. Pretended machines are only offered where asked for. */
export function vmDrivers(offered: {
  readonly synthetic: boolean;
}): Readonly<Record<string, VmDriverEntry>> {
  return { synthetic: syntheticDriver({ offered: offered.synthetic }) };
}
