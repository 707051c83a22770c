import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, describe, test } from 'node:test';
import { parallelsDriver } from '../../src/drivers/vm/parallels/parallels.ts';
import { fakeParallels, noFakeVms } from '../fake-vms.ts';
import { IMAGE, NAME, NEVER, OWNED, vmError } from './vm-suite.ts';

const skip = noFakeVms();
const mac = fakeParallels();
after(() => mac.remove());

describe('vm parallels (fake), in trouble', { skip }, () => {
  const dir = mkdtempSync(join(tmpdir(), 'pomona-parallels-test-'));
  const timeouts = { address: 1_000, login: 1_500 };
  const driver = parallelsDriver({ timeouts }).open(dir);
  const request = { image: IMAGE, path: mac.image, guest: 'macos' } as const;
  const clone = (name = NAME, limits = {}) => driver.clone({ ...request, name, limits }, NEVER);
  const prlctl = (...args: string[]) => execFileSync('prlctl', args, { encoding: 'utf8' });
  interface Shown {
    readonly Hardware: { cpu: { cpus: number }; memory: { size: string }; net0: { mac: string } };
  }
  const shown = (name: string) =>
    (JSON.parse(prlctl('list', '-a', '-i', '-j', name)) as Shown[])[0];
  afterEach(async () => {
    for (const flag of ['no-tools', 'foreign', 'stuck']) mac.clear(flag);
    for (const { name } of await driver.list('')) await driver.destroy(name);
  });
  after(() => rmSync(dir, { recursive: true }));

  test('a clone has the size that is asked for and a network card of its own', async () => {
    await clone(NAME, { cpus: 3, memoryBytes: 6 * 2 ** 30 });
    await clone(`${OWNED}w-2`);
    const [one, two] = [shown(NAME), shown(`${OWNED}w-2`)];
    assert.deepEqual([one?.Hardware.cpu.cpus, one?.Hardware.memory.size], [3, '6144Mb']);
    assert.notEqual(one?.Hardware.net0.mac, two?.Hardware.net0.mac);
  });

  test('the third macOS guest of a Mac is refused as the limit that it is', async () => {
    mac.set('foreign', '2');
    await clone();
    await assert.rejects(driver.boot(NAME, NEVER), vmError('slots'));
    mac.clear('foreign');
    await driver.boot(NAME, NEVER);
  });

  test('a machine that someone else started counts as started', async () => {
    await clone();
    prlctl('start', NAME);
    await driver.boot(NAME, NEVER);
    assert.deepEqual(await driver.list(NAME), [{ name: NAME, state: 'running' }]);
  });

  test('a guest without tools is given up for want of an address', async () => {
    mac.set('no-tools');
    await clone();
    await assert.rejects(
      driver.boot(NAME, NEVER),
      /after 1 s it has no network address: neither Parallels Tools nor leases nor ARP tell one/,
    );
    assert.deepEqual(await driver.list(NAME), [{ name: NAME, state: 'stopped' }]);
  });

  test('a guest that will not shut down has its power cut in the end', async () => {
    await clone();
    await driver.boot(NAME, NEVER);
    mac.set('stuck');
    await driver.stop(NAME, 500);
    assert.deepEqual(await driver.list(NAME), [{ name: NAME, state: 'stopped' }]);
  });

  test('a machine whose bundle is damaged is forgotten and removed', async () => {
    await clone();
    rmSync(join(dir, 'vms', `${NAME}.macvm`, 'config.pvs'));
    assert.deepEqual(await driver.list(NAME), [{ name: NAME, state: 'unknown' }]);
    await driver.destroy(NAME);
    assert.deepEqual(await driver.list(''), []);
    assert.equal(existsSync(join(dir, 'vms', `${NAME}.macvm`)), false);
  });

  test('a machine of that name which is someone else’s is neither seen nor touched', async () => {
    const theirs = mkdtempSync(join(tmpdir(), 'pomona-theirs-'));
    execFileSync('cp', ['-r', `${mac.image}/.`, theirs]);
    prlctl('register', theirs, '--regenerate-src-uuid');
    prlctl('set', 'macOS 15', '--name', NAME);
    assert.deepEqual(await driver.list(OWNED), []);
    await driver.destroy(NAME);
    assert.equal(existsSync(join(theirs, 'config.pvs')), true);
    assert.equal(await driver.foreignMacosGuests(OWNED), 0);
    prlctl('start', NAME);
    assert.equal(await driver.foreignMacosGuests(OWNED), 1);
    prlctl('stop', NAME, '--kill');
    prlctl('delete', NAME);
  });

  test('an image that is no machine of Parallels is refused, and nothing is left', async () => {
    const cloning = driver.clone({ ...request, name: NAME, path: tmpdir(), limits: {} }, NEVER);
    await assert.rejects(cloning, /it lacks config.pvs; import the directory NAME.macvm/);
    assert.deepEqual(await driver.list(''), []);
  });
});
