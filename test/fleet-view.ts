import type { HostFacts } from '../src/domain/host.ts';
import type { Pool } from '../src/domain/pool.ts';
import { specFor, specKey } from '../src/domain/scheduling/fit.ts';
import type { FleetView, HostStatus, WorkerStatus } from '../src/domain/scheduling/fleet-view.ts';

/** Readings of fleets, as short as a test can say them. */

export const NOW = 1_000_000;

export function facts(overrides: Partial<HostFacts> = {}): HostFacts {
  return {
    ...{ os: 'linux', osVersion: '12.1', arch: 'x64', cpus: 4, memoryBytes: 2 ** 34, labels: [] },
    capacity: { workers: 4, macosVms: 2 },
    sandboxes: [
      { name: 'process', available: true, detail: '', rank: 1, isolation: 'none' },
      { name: 'bubblewrap', available: true, detail: '', rank: 9, isolation: 'namespaces' },
      { name: 'gvisor', available: false, detail: 'runsc is not installed', rank: 99 },
    ],
    stores: [{ name: 'copy', available: true, detail: '', rank: 1 }],
    vms: [{ name: 'synthetic', available: true, detail: '', rank: 1 }],
    images: [{ name: 'empty', digest: 'sha256:00' }],
    ...overrides,
  };
}

export function host(name: string, overrides: Partial<HostStatus> = {}): HostStatus {
  return {
    ...{ id: name, name, state: 'active', online: true, silentForMs: 0, facts: facts() },
    ...overrides,
  };
}

export function pool(name: string, overrides: Partial<Pool> = {}): Pool {
  return {
    ...{ name, labels: [name], hostLabels: [], image: 'empty', kind: 'sandbox', guest: 'linux' },
    ...{ ready: 0, max: 10, limits: {}, retries: 0, defaultTimeoutMs: 1000, maxTimeoutMs: 1000 },
    ...overrides,
  };
}

/** A ready worker on host `a`. */
export function worker(id: string, of: Pool, overrides: Partial<WorkerStatus> = {}): WorkerStatus {
  const spec = specFor(of, facts());
  if (!spec.fits) throw new Error(spec.reason);
  return {
    ...{ id, pool: of.name, hostId: 'a', state: 'ready', goal: 'ready', jobId: undefined },
    ...{ specKey: specKey(spec.spec), macosVm: false, readyAt: NOW - 1 },
    ...overrides,
  };
}

export function job(id: string, wanted?: string) {
  return { id, pool: wanted, labels: [] };
}

export function view(overrides: Partial<FleetView>): FleetView {
  return {
    ...{ now: NOW, pools: [], hosts: [], workers: [], queued: [], running: [] },
    ...{ teams: new Map(), reservations: [], backoffs: new Map(), rollouts: new Map() },
    hostLostAfterMs: 60_000,
    ...overrides,
  };
}
