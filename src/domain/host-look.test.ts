import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HostFacts } from './host.ts';
import { alarmsOf, driftOf, type SeenHost } from './host-look.ts';

const FACTS: HostFacts = {
  ...{ os: 'macos', osVersion: '26.1', arch: 'arm64', cpus: 10, memoryBytes: 2 ** 34 },
  ...{ labels: [], capacity: { workers: 2, macosVms: 2 }, sandboxes: [], stores: [], vms: [] },
  images: [{ name: 'macos-26', digest: 'sha256:0' }],
};
const WELL: SeenHost = {
  ...{ state: 'active', stateReason: undefined, online: true, lost: false },
  ...{ diskFreeBytes: 2 ** 38, agentVersion: '1.0.0', facts: FACTS },
};
const WANTED = { images: ['macos-26'], agentVersion: '1.0.0' };

test('a host that is as it should be has no alarms and no drift', () => {
  assert.deepEqual(alarmsOf(WELL), []);
  assert.deepEqual(driftOf(WELL, WANTED), []);
});

test('each thing that is wrong is an alarm, and being out of touch is told once', () => {
  const facts = { ...FACTS, macosSlots: { foreign: 0, leaked: true } };
  const bad: SeenHost = {
    ...{ ...WELL, online: false, lost: true, facts, diskFreeBytes: 1 },
    ...{ state: 'quarantined', stateReason: '3 of 4 workers failed' },
  };
  assert.equal(alarmsOf(bad).length, 4);
  assert.match(alarmsOf(bad)[0] ?? '', /out of touch/);
  assert.match(alarmsOf({ ...WELL, online: false })[0] ?? '', /not connected/);
});

test('an older agent, a missing image and one on its way are drift', () => {
  const facts = { ...FACTS, imageFetches: [{ name: 'macos-27', detail: '40 % of 20 GB' }] };
  const images = ['macos-26', 'macos-27', 'xcode-27'];
  assert.deepEqual(driftOf({ ...WELL, agentVersion: '0.9.0', facts }, { ...WANTED, images }), [
    'Its agent is version 0.9.0, the controller 1.0.0.',
    'Image macos-27: 40 % of 20 GB.',
    'Image xcode-27 is not there.',
  ]);
});
