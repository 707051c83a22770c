import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { calmWorld, syntheticDriver } from '../drivers/vm/synthetic.ts';
import { silentLogger } from '../platform/logger.ts';
import { startAgent, type Agent } from './agent.ts';

let dataDir = '';
let agent: Agent | undefined;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'pomona-agent-'));
  const credential = { hostId: 'h-1', fleet: 'mine', credential: 'x' };
  await writeFile(join(dataDir, 'credential.json'), JSON.stringify(credential));
});
afterEach(async () => {
  await agent?.close();
  await rm(dataDir, { recursive: true });
});

function start(vms: Parameters<typeof startAgent>[0]['vms'] = {}): Promise<Agent> {
  return startAgent({
    ...{ controllerUrl: 'http://127.0.0.1:9', name: 'mac-1', dataDir, labels: [], vms },
    ...{ capacity: { workers: 1, macosVms: 0 }, stores: {}, sandboxes: {}, log: silentLogger },
    joinToken: () => Promise.reject(new Error('it has a credential')),
    keeper: { file: process.execPath, args: ['--eval', ''] },
    program: 'test',
  });
}

test('records that a power cut emptied, or a disk damaged, do not keep the agent from starting', async () => {
  for (const [name, content] of [
    ['pomona-mine-empty', ''],
    ['pomona-mine-damaged', '{"id":'],
  ] as const) {
    await mkdir(join(dataDir, 'workers', name), { recursive: true });
    await writeFile(join(dataDir, 'workers', name, 'worker.json'), content);
  }
  agent = await start();
  assert.deepEqual(await readdir(join(dataDir, 'workers')), []);
});

test('only VMs that carry the name of its own fleet are cleaned up at start', async () => {
  const world = calmWorld();
  for (const name of ['pomona-mine-w-1', 'pomona-other-w-1', 'someones', 'pomona-mine2-w-1']) {
    world.vms.set(name, 'running');
  }
  agent = await start({ synthetic: syntheticDriver({ world, offered: true }) });
  assert.deepEqual([...world.vms.keys()], ['pomona-other-w-1', 'someones', 'pomona-mine2-w-1']);
});
