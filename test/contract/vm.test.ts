import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { syntheticVmDrivers, VM_DRIVERS } from '../../src/drivers/vm/drivers.ts';
import { parallelsDriver } from '../../src/drivers/vm/parallels/parallels.ts';
import { qemuDriver } from '../../src/drivers/vm/qemu/qemu.ts';
import { calmWorld, syntheticDriver, type SyntheticWorld } from '../../src/drivers/vm/synthetic.ts';
import { tartDriver } from '../../src/drivers/vm/tart/tart.ts';
import { debianGuest, noQemuFor } from '../debian-guest.ts';
import { fakeParallels, fakeTart, noFakeVms, type FakeMac } from '../fake-vms.ts';
import { VirtualTime } from '../virtual-time.ts';
import { vmMakingContract, type MakingHost } from './vm-making-suite.ts';
import { BOOT_MS, IMAGE, NAME, NEVER, vmContract, vmError, type TestHost } from './vm-suite.ts';

function syntheticHost(changes: Partial<SyntheticWorld> = {}) {
  const time = new VirtualTime();
  const world: SyntheticWorld = {
    ...calmWorld(),
    sleep: (ms, signal) => time.sleep(ms, signal),
    random: () => 0.5,
    bootMs: BOOT_MS,
    ...changes,
  };
  return {
    entry: syntheticDriver({ world, offered: true }),
    from: { limits: {}, guest: 'linux' } as const,
    pass: (ms: number) => time.advance(ms),
    foreign: (name: string) => void world.vms.set(name, 'running'),
    exists: (name: string) => world.vms.has(name),
    time,
    world,
  };
}

const guest = debianGuest();
const noQemu = await noQemuFor(guest);

/** Real machines, of a guest made here. */
function qemuHost(dir: string): MakingHost {
  const entry = qemuDriver();
  const path = 'none' in guest ? '' : guest.dir;
  const from = { path, limits: { cpus: 1, memoryBytes: 256 * 2 ** 20 }, guest: 'linux' } as const;
  return {
    entry,
    from,
    pass: (ms) => sleep(Math.min(ms, 1_000)),
    foreign: (name) => entry.open(dir).clone({ name, image: IMAGE, ...from }, NEVER),
    exists: (name) => existsSync(join(dir, name, 'vm.json')),
  };
}

/** Tart by its fake, whose guests are sandboxes. */
function tartHost(dir: string): MakingHost {
  const { image } = tart;
  const entry = tartDriver({ timeouts: { login: 5_000 } });
  const from = { path: image, limits: {}, guest: 'macos' } as const;
  return {
    ...{ entry, from },
    pass: (ms) => sleep(Math.min(ms, 500)),
    foreign: (name) => entry.open(dir).clone({ name, image: IMAGE, ...from }, NEVER),
    exists: (name) => existsSync(join(dir, 'home/vms', name)),
    ...installs(tart),
  };
}
const noFakes = noFakeVms();
const tart = fakeTart();
const parallels = fakeParallels();
after(() => {
  tart.remove();
  parallels.remove();
});

/** Parallels by its fake. */
function parallelsHost(dir: string): MakingHost {
  const { image } = parallels;
  const entry = parallelsDriver({ timeouts: { login: 5_000 } });
  const from = { path: image, limits: {}, guest: 'macos' } as const;
  return {
    ...{ entry, from },
    pass: (ms) => sleep(Math.min(ms, 500)),
    foreign: (name) => entry.open(dir).clone({ name, image: IMAGE, ...from }, NEVER),
    exists: (name) => existsSync(join(dir, 'vms', `${name}.macvm`)),
    ...installs(parallels),
  };
}

function installs(mac: FakeMac): Pick<MakingHost, 'setUp' | 'spoilInstalls'> {
  mac.clear('setup-done');
  return {
    setUp: () => mac.set('setup-done'),
    spoilInstalls: (spoilt) => (spoilt ? mac.set('bad-ipsw') : mac.clear('bad-ipsw')),
  };
}

const HOSTS: Readonly<
  Record<
    string,
    {
      make(dir: string): TestHost;
      /** Where the driver makes images. */
      readonly makeMaker?: (dir: string) => MakingHost;
      readonly skip: string | false;
    }
  >
> = {
  parallels: { make: parallelsHost, makeMaker: parallelsHost, skip: noFakes },
  qemu: { make: qemuHost, makeMaker: qemuHost, skip: noQemu },
  synthetic: { make: () => syntheticHost(), skip: false },
  tart: { make: tartHost, makeMaker: tartHost, skip: noFakes },
};

test('every driver of the family is held to its contract', () => {
  assert.deepEqual(Object.keys(HOSTS), Object.keys(VM_DRIVERS));
});

/** Checked against what stands for the real thing. */
const FAKED: ReadonlySet<string> = new Set(['parallels', 'tart']);

const { POMONA_TEST_VM: only } = process.env;
for (const [name, { make, skip }] of Object.entries(HOSTS)) {
  if (only !== undefined && only !== name) continue;
  const fake = FAKED.has(name) ? ' (fake)' : '';
  describe(`vm ${name}${fake}`, { skip }, () => vmContract(make));
  const { makeMaker } = HOSTS[name] ?? {};
  if (makeMaker === undefined) continue;
  describe(`vm ${name}${fake}, making images`, { skip }, () => vmMakingContract(makeMaker));
}

describe('vm synthetic, as a world', () => {
  const request = { name: NAME, image: IMAGE, limits: {}, guest: 'linux' } as const;

  test('is not offered unless it is asked for', async () => {
    const report = await VM_DRIVERS['synthetic']?.probe();
    assert.equal(report?.available, false);
    assert.match(report.detail, /--synthetic/);
    const offered = await syntheticVmDrivers()['synthetic']?.probe();
    assert.match(offered?.detail ?? '', /nothing real runs/);
  });

  test('takes the time to boot that the world says', async () => {
    const { entry, time } = syntheticHost();
    const driver = entry.open('');
    await driver.clone(request, NEVER);
    let booted = false;
    const boot = driver.boot(NAME, NEVER).then(() => (booted = true));
    await time.advance(BOOT_MS - 1);
    assert.equal(booted, false);
    await time.advance(1);
    await boot;
    assert.equal(time.now, BOOT_MS);
  });

  test('a boot that fails leaves a stopped VM, which can be booted again', async () => {
    const chances = [0.9, 0.1, 0.9, 0.9];
    const { entry, time } = syntheticHost({ bootFails: 0.5, random: () => chances.shift() ?? 1 });
    const driver = entry.open('');
    await driver.clone(request, NEVER);
    const failing = assert.rejects(driver.boot(NAME, NEVER), vmError('boot_failed'));
    await time.advance(BOOT_MS);
    await failing;
    assert.deepEqual(await driver.list(NAME), [{ name: NAME, state: 'stopped' }]);
    const booted = driver.boot(NAME, NEVER);
    await time.advance(BOOT_MS);
    await booted;
    assert.deepEqual(await driver.list(NAME), [{ name: NAME, state: 'running' }]);
  });

  test('a boot that hangs hangs until it is given up', async () => {
    const { entry, time } = syntheticHost({ bootHangs: 1 });
    const driver = entry.open('');
    await driver.clone(request, NEVER);
    const stop = new AbortController();
    const boot = assert.rejects(driver.boot(NAME, stop.signal), /given up/);
    await time.advance(3_600_000);
    assert.deepEqual(
      [time.waiting, await driver.list(NAME)],
      [1, [{ name: NAME, state: 'booting' }]],
    );
    stop.abort(new Error('given up'));
    await boot;
    assert.equal(time.waiting, 0);
  });

  test('a connection that is lost is told as such', async () => {
    const { entry, world } = syntheticHost({ execFails: 1 });
    world.vms.set(NAME, 'running');
    const command = { argv: ['true'], env: {}, onOutput: async () => undefined };
    await assert.rejects(entry.open('').exec(NAME, command, NEVER), vmError('exec_failed'));
  });

  test('has as many slots as it says; a VM that is made again needs no other', async () => {
    const { entry } = syntheticHost({ slots: 2 });
    const driver = entry.open('');
    const clone = (name: string) => driver.clone({ ...request, name }, NEVER);
    for (const name of ['a', 'b', 'b']) await clone(name);
    await assert.rejects(clone('c'), vmError('slots'));
    await driver.destroy('a');
    await clone('c');
  });
});
