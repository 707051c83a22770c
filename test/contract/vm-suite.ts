import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import {
  VmError,
  type VmCloneRequest,
  type VmDriver,
  type VmDriverEntry,
} from '../../src/drivers/vm/vm.ts';

export const BOOT_MS = 20_000;
export const OWNED = 'pomona-f1-';
export const NAME = `${OWNED}w-1`;
export const NEVER = new AbortController().signal;

/** A host on which a driver is tried. */
export interface TestHost {
  readonly entry: VmDriverEntry;
  /** What its VMs are made from. */
  readonly from: Pick<VmCloneRequest, 'path' | 'limits' | 'guest'>;
  /** Lets at least so much of the guests' time pass, where the guests have a time of their own. */
  pass(ms: number): Promise<void>;
  /** Makes VMs, outside of Pomona, that are not ours. */
  foreign(name: string): Promise<void> | void;
  exists(name: string): boolean;
  remove?(): Promise<void>;
}

export const IMAGE = { name: 'small', digest: 'sha256:00' };

/** What every VM driver does. Drivers are opened in a directory of each test's own. */
export function vmContract(makeHost: (dir: string) => TestHost): void {
  let dir = '';
  let host: TestHost;
  let driver: VmDriver;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'pomona-vm-'));
    host = makeHost(dir);
    driver = host.entry.open(dir);
  });
  afterEach(async () => {
    for (const { name } of await driver.list('')) await driver.destroy(name);
    await rm(dir, { recursive: true });
  });

  const clone = (name = NAME, signal = NEVER) =>
    driver.clone({ name, image: IMAGE, ...host.from }, signal);
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
    // A process takes a moment to start.
    while ((await states())[NAME] === 'stopped') await host.pass(10);
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
    await host.foreign('someones');
    await host.foreign('pomona-f10-w-1');
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
    while ((await states())[NAME] === 'stopped') await host.pass(10);
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

  test('what is copied in is there, and comes out again', async () => {
    await running();
    const [there, back] = [join(dir, 'there'), join(dir, 'back')];
    await mkdir(join(there, 'deep'), { recursive: true });
    await mkdir(back);
    await writeFile(join(there, 'deep/a file'), 'content');
    await writeFile(join(there, 'empty'), '');
    await driver.copyIn(NAME, there, 'files/of mine', NEVER);
    await driver.copyOut(NAME, 'files/of mine', back, NEVER);
    assert.equal(await readFile(join(back, 'deep/a file'), 'utf8'), 'content');
    assert.deepEqual((await readdir(back)).toSorted(), ['deep', 'empty']);
  });

  test('what is stopped is stopped, gracefully or not, and can be started again', async () => {
    await running();
    await driver.stop(NAME, 30_000);
    assert.deepEqual(await states(), { [NAME]: 'stopped' });
    await assert.rejects(exec(['true']), vmError('exec_failed'));
    const booted = driver.boot(NAME, NEVER);
    await host.pass(BOOT_MS);
    await booted;
    assert.equal((await exec(['true'])).exitCode, 0);
    await driver.stop(NAME, 0);
    await driver.stop(NAME, 0);
    assert.deepEqual(await states(), { [NAME]: 'stopped' });
    await driver.stop(`${OWNED}w-none`, 1000);
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

export function vmError(code: VmError['code']) {
  return (error: unknown) => {
    assert.ok(error instanceof VmError, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  };
}
