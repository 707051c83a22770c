import { cpus } from 'node:os';
import { startAgent, type Agent, type AgentOptions } from '../agent/agent.ts';
import { MACOS_VMS_PER_HOST, type HostCapacity } from '../domain/host.ts';
import { SANDBOX_DRIVERS } from '../drivers/sandbox/drivers.ts';
import { STORE_DRIVERS } from '../drivers/store/drivers.ts';
import { vmDrivers } from '../drivers/vm/drivers.ts';
import { entryPoint } from '../platform/entry.ts';

/** Puts an agent together from all the drivers there are. */
export function startFullAgent(
  options: Omit<AgentOptions, 'stores' | 'sandboxes' | 'vms' | 'keeper'>,
): Promise<Agent> {
  return startAgent({
    ...options,
    stores: STORE_DRIVERS,
    sandboxes: SANDBOX_DRIVERS,
    vms: vmDrivers(),
    keeper: entryPoint('cli/keep'),
  });
}

export function capacityFor(wanted: { workers?: number; macosVms?: number }): HostCapacity {
  return {
    workers: wanted.workers ?? Math.max(2, cpus().length),
    macosVms: wanted.macosVms ?? (process.platform === 'darwin' ? MACOS_VMS_PER_HOST : 0),
  };
}
