import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { vmDrivers } from '../../src/drivers/vm/drivers.ts';
import { calmWorld, syntheticDriver, type SyntheticWorld } from '../../src/drivers/vm/synthetic.ts';
import { VmError, type VmDriver, type VmDriverEntry } from '../../src/drivers/vm/vm.ts';
import { VirtualTime } from '../virtual-time.ts';

const BOOT_MS = 20_000;
const OWNED = 'pomona-f1-';
const NAME = `${OWNED}w-1`;
const NEVER = new AbortController().signal;

/** A host on which a driver is tried. */
interface TestHost {
  readonly entry: VmDriverEntry;
  /** Lets at least so much of the guests' time pass. */
  pass(ms: number): Promise<void>;
  /** Makes VMs, outside of Pomona, that are not ours. */
  foreign(name: string): void;
  exists(name: string): boolean;
}

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
    pass: (ms: number) => time.advance(ms),
    foreign: (name: string) => void world.vms.set(name, 'running'),
    exists: (name: string) => world.vms.has(name),
    time,
    world,
  };
}

const HOSTS: Readonly<Record<string, () => TestHost>> = { synthetic: () => syntheticHost() };

test('every driver of the family is held to its contract', () => {
  assert.deepEqual(Object.keys(HOSTS), Object.keys(vmDrivers({ synthetic: true })));
});

for (const [name, host] of Object.entries(HOSTS)) {
  describe(`vm ${name}`, () => vmContract(host));
}

function vmContract(makeHost: () => TestHost): void {
  let dir = '';
  let host: TestHost;
  let driver: VmDriver;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'pomona-vm-'));
    host = makeHost();
    driver = host.entry.open(dir);
  });
  afterEach(() => rm(dir, { recursive: true }));

  const clone = (name = NAME, signal = NEVER) =>
    driver.clone({ name, image: { name: 'empty', digest: 'sha256:00' }, limits: {} }, signal);
  const exec = (argv: readonly string[], signal = NEVER) => {
    const output: Uint8Array[] = [];
    const onOutput = async (chunk: Uint8Array) => void output.push(chunk);
    const exit = driver.exec(NAME, { argv, env: {}, onOutput }, signal);
    return exit.then(({ exitCode }) => ({ exitCode, output: Buffer.concat(output).toString() }));
  };
  async function running(name = NAME): Promise<void> {
    await clone(name);
    const booted = driver.boot(name, NEVER);
    await host.pass(BOOT_MS);
    await booted;
  }
  const states = async (prefix = OWNED) =>
    Object.fromEntries((await driver.list(prefix)).map(({ name, state }) => [name, state]));

  test('it says that it is available where it works', async () => {
    const { name, rank, available } = await host.entry.probe();
    assert.deepEqual([name, rank, available], [host.entry.name, host.entry.rank, true]);
    assert.equal(driver.name, host.entry.name);
  });

  test('a VM is stopped when cloned, booting until a command can run, then running', async () => {
    await clone();
    assert.deepEqual(await states(), { [NAME]: 'stopped' });
    const booted = driver.boot(NAME, NEVER);
    assert.deepEqual(await states(), { [NAME]: 'booting' });
    await host.pass(BOOT_MS);
    await booted;
    assert.deepEqual(await states(), { [NAME]: 'running' });
  });

  test('commands end with their exit codes, and what they print arrives', async () => {
    await running();
    assert.deepEqual(await exec(['true']), { exitCode: 0, output: '' });
    assert.deepEqual(await exec(['false']), { exitCode: 1, output: '' });
    assert.deepEqual(await exec(['echo', 'two', 'words']), { exitCode: 0, output: 'two words\n' });
    const missing = await exec(['no-such-program']);
    assert.equal(missing.exitCode, 127);
    assert.match(missing.output, /no-such-program/);
  });

  test('a command returns only once its output was taken', async () => {
    await running();
    const taken = Promise.withResolvers<void>();
    let ended = false;
    const ending = driver
      .exec(NAME, { argv: ['echo', 'x'], env: {}, onOutput: () => taken.promise }, NEVER)
      .then(() => (ended = true));
    await host.pass(1_000);
    assert.equal(ended, false);
    taken.resolve();
    await ending;
  });

  test('only VMs with the prefix are listed, and destroying spares the others', async () => {
    host.foreign('someones');
    host.foreign('pomona-f10-w-1');
    await running();
    await clone(`${OWNED}w-2`);
    assert.deepEqual(await states(), { [NAME]: 'running', [`${OWNED}w-2`]: 'stopped' });
    for (const { name } of await driver.list(OWNED)) await driver.destroy(name);
    assert.deepEqual(await states(), {});
    assert.ok(host.exists('someones') && host.exists('pomona-f10-w-1'));
  });

  test('cloning again replaces a stopped VM, and refuses one that was started', async () => {
    await clone();
    await clone();
    assert.deepEqual(await states(), { [NAME]: 'stopped' });
    const booted = driver.boot(NAME, NEVER);
    await assert.rejects(clone(), vmError('running'));
    await host.pass(BOOT_MS);
    await booted;
    await assert.rejects(clone(), vmError('running'));
    assert.deepEqual(await states(), { [NAME]: 'running' });
  });

  test('booting what runs changes nothing, and returns at once', async () => {
    await running();
    await driver.boot(NAME, NEVER);
    assert.deepEqual(await states(), { [NAME]: 'running' });
  });

  test('destroying removes it from every state, and again is no error', async () => {
    await driver.destroy(NAME);
    await clone();
    await driver.destroy(NAME);
    await running();
    await driver.destroy(NAME);
    await driver.destroy(NAME);
    assert.deepEqual(await states(), {});
  });

  test('destroying a VM that boots ends the boot, and it stays away', async () => {
    await clone();
    const booted = driver.boot(NAME, NEVER);
    await Promise.all([assert.rejects(booted, vmError('missing')), driver.destroy(NAME)]);
    await host.pass(2 * BOOT_MS);
    assert.deepEqual(await states(), {});
  });

  test('destroying a VM ends the command in it', async () => {
    await running();
    const ended = exec(['sleep', '600']);
    await Promise.all([assert.rejects(ended, vmError('missing')), driver.destroy(NAME)]);
    await running();
    assert.equal((await exec(['true'])).exitCode, 0);
  });

  test('commands need a VM that runs, and nothing boots that was not cloned', async () => {
    await assert.rejects(exec(['true']), vmError('missing'));
    await assert.rejects(driver.boot(NAME, NEVER), vmError('missing'));
    await clone();
    await assert.rejects(exec(['true']), vmError('exec_failed'));
  });

  test('what is aborted stops waiting, and can be done again', async () => {
    await assert.rejects(clone(NAME, AbortSignal.abort()));
    assert.deepEqual(await states(), {});
    await clone();
    const stop = new AbortController();
    const booted = driver.boot(NAME, stop.signal);
    stop.abort(new Error('not wanted any more'));
    await assert.rejects(booted, /not wanted any more/);
    const again = driver.boot(NAME, NEVER);
    await host.pass(BOOT_MS);
    await again;
    const command = new AbortController();
    const ended = exec(['sleep', '600'], command.signal);
    command.abort(new Error('cancelled'));
    await assert.rejects(ended, /cancelled/);
    assert.deepEqual(await states(), { [NAME]: 'running' });
  });

  test('after a crash, the next driver finds the VMs in the states they are in', async () => {
    await running(`${OWNED}w-1`);
    await clone(`${OWNED}w-2`);
    driver = host.entry.open(dir);
    assert.deepEqual(await states(), { [`${OWNED}w-1`]: 'running', [`${OWNED}w-2`]: 'stopped' });
    assert.equal((await exec(['true'])).exitCode, 0);
    await driver.destroy(`${OWNED}w-1`);
    await running(`${OWNED}w-2`);
    assert.deepEqual(await states(), { [`${OWNED}w-2`]: 'running' });
  });

  test('a boot that a crash cut off is done again by the next driver', async () => {
    await clone();
    const stop = new AbortController();
    const cut = assert.rejects(driver.boot(NAME, stop.signal));
    driver = host.entry.open(dir);
    stop.abort();
    await cut;
    const booted = driver.boot(NAME, NEVER);
    await host.pass(BOOT_MS);
    await booted;
    assert.deepEqual(await states(), { [NAME]: 'running' });
  });
}

describe('vm synthetic, as a world', () => {
  const image = { name: 'empty', digest: 'sha256:00' };

  test('is not offered unless it is asked for', async () => {
    const report = await vmDrivers({ synthetic: false })['synthetic']?.probe();
    assert.equal(report?.available, false);
    assert.match(report.detail, /--synthetic/);
    const offered = await vmDrivers({ synthetic: true })['synthetic']?.probe();
    assert.match(offered?.detail ?? '', /nothing real runs/);
  });

  test('takes the time to boot that the world says', async () => {
    const { entry, time } = syntheticHost();
    const driver = entry.open('');
    await driver.clone({ name: NAME, image, limits: {} }, NEVER);
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
    await driver.clone({ name: NAME, image, limits: {} }, NEVER);
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
    await driver.clone({ name: NAME, image, limits: {} }, NEVER);
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
    const clone = (name: string) => driver.clone({ name, image, limits: {} }, NEVER);
    for (const name of ['a', 'b', 'b']) await clone(name);
    await assert.rejects(clone('c'), vmError('slots'));
    await driver.destroy('a');
    await clone('c');
  });
});

function vmError(code: VmError['code']) {
  return (error: unknown) => {
    assert.ok(error instanceof VmError, String(error));
    assert.equal(error.code, code);
    return true;
  };
}
