import type { HostFacts } from '../domain/host.ts';
import type { Pool } from '../domain/pool.ts';

/** What the fleets are like that are played. */

/** Hosts are given up after this. */
export const HOST_LOST_MS = 45_000;

export const POOLS: readonly Pool[] = [
  {
    ...{
      name: 'macs',
      labels: ['mac'],
      hostLabels: [],
      image: 'macos',
      kind: 'vm',
      guest: 'macos',
    },
    ...{ vm: 'tart', ready: 1, max: 100, limits: {}, retries: 0 },
    ...{ defaultTimeoutMs: 3_600_000, maxTimeoutMs: 3_600_000 },
  },
  {
    ...{ name: 'linux', labels: ['linux'], hostLabels: [], image: 'linux', kind: 'vm' },
    ...{ guest: 'linux', vm: 'tart', ready: 0, max: 3, limits: {}, retries: 0, jobsPerWorker: 3 },
    ...{ defaultTimeoutMs: 3_600_000, maxTimeoutMs: 3_600_000 },
  },
];

export const FACTS: HostFacts = {
  tasks: ['restart', 'clean', 'reboot'],
  ...{ os: 'macos', osVersion: '15.1', arch: 'arm64', cpus: 8, memoryBytes: 2 ** 35, labels: [] },
  ...{ capacity: { workers: 3, macosVms: 2 }, sandboxes: [], stores: [] },
  vms: [{ name: 'tart', available: true, detail: '', rank: 1, isolation: 'vm' }],
  images: [
    { name: 'linux', digest: `sha256:${'1'.repeat(64)}` },
    { name: 'macos', digest: `sha256:${'2'.repeat(64)}` },
  ],
};
