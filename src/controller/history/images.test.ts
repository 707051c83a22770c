import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControllerFixture } from '../../../test/controller-fixture.ts';
import { enrolHost, saveHostFacts } from '../../db/queries/hosts.ts';
import { savePool } from '../../db/queries/pools.ts';
import type { HostFacts } from '../../domain/host.ts';
import { poolSpecSchema } from '../../protocol/api/resources.ts';
import { listImages } from './images.ts';

const FACTS: HostFacts = {
  ...{ os: 'macos', osVersion: '26.1', arch: 'arm64', cpus: 10, memoryBytes: 2 ** 34 },
  ...{ labels: [], capacity: { workers: 2, macosVms: 2 }, sandboxes: [], stores: [], vms: [] },
  images: [],
};
const [OLD, NEW] = ['sha256:01', 'sha256:02'];

test('each image says who has which content of it, who brings it and who lacks it', async (t) => {
  const { context } = await ControllerFixture.make(t);
  const { db } = context;
  const spec = JSON.stringify(poolSpecSchema.parse({ name: 'mac', image: 'macos-26' }));
  await savePool(db, { name: 'mac', origin: 'api', spec });
  const hosts: readonly (readonly [string, Partial<HostFacts>])[] = [
    ['mac-1', { images: [{ name: 'macos-26', digest: NEW }], imageBytes: { [NEW]: 1000 } }],
    ['mac-2', { images: [{ name: 'macos-26', digest: NEW }] }],
    ['mac-3', { images: [{ name: 'macos-26', digest: OLD }] }],
    ['mac-4', { imageFetches: [{ name: 'macos-26', detail: 'it is being brought', share: 0.4 }] }],
    ['mac-5', { images: [{ name: 'left-over', digest: OLD }] }],
  ];
  for (const [name, facts] of hosts) {
    if (name !== 'mac-1') await enrolHost(db, { id: name, name, credentialHash: name, now: 0 });
    const id = name === 'mac-1' ? 'h-1' : name;
    await saveHostFacts(db, { id, facts: { ...FACTS, ...facts }, agentVersion: undefined });
  }
  assert.deepEqual(await listImages(context), [
    {
      ...{ name: 'left-over', pools: [], fetching: [], missing: [] },
      versions: [{ digest: OLD, hosts: ['mac-5'] }],
    },
    {
      ...{ name: 'macos-26', pools: ['mac'], missing: ['mac-5'] },
      fetching: [{ host: 'mac-4', detail: 'it is being brought', share: 0.4 }],
      versions: [
        { digest: NEW, hosts: ['mac-1', 'mac-2'], bytes: 1000 },
        { digest: OLD, hosts: ['mac-3'] },
      ],
    },
  ]);
});
