import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, describe, test } from 'node:test';
import { tartDriver } from '../../src/drivers/vm/tart/tart.ts';
import { fakeTart, noFakeVms } from '../fake-vms.ts';
import { IMAGE, NAME, NEVER, OWNED, vmError } from './vm-suite.ts';

const skip = noFakeVms();
const tart = fakeTart();
after(() => tart.remove());

describe('vm tart (fake), in trouble', { skip }, () => {
  const dir = mkdtempSync(join(tmpdir(), 'pomona-tart-test-'));
  const timeouts = { address: 1_000, login: 1_500 };
  const driver = tartDriver({ timeouts }).open(dir);
  const request = { image: IMAGE, path: tart.image, guest: 'macos' } as const;
  const clone = (name = NAME, limits = {}) => driver.clone({ ...request, name, limits }, NEVER);
  const configOf = (name: string) =>
    JSON.parse(readFileSync(join(dir, 'home/vms', name, 'config.json'), 'utf8')) as Record<
      string,
      unknown
    >;
  afterEach(async () => {
    for (const { name } of await driver.list('')) await driver.destroy(name);
    for (const flag of ['no-agent', 'no-lease', 'guest-error', 'foreign']) tart.clear(flag);
  });
  after(() => rmSync(dir, { recursive: true }));

  test('a clone has the size that is asked for, an identity of its own, and nothing suspended', async () => {
    await clone(NAME, { cpus: 3, memoryBytes: 6 * 2 ** 30 });
    await clone(`${OWNED}w-2`);
    const [one, two] = [configOf(NAME), configOf(`${OWNED}w-2`)];
    assert.deepEqual([one['cpuCount'], one['memorySize']], [3, 6 * 2 ** 30]);
    for (const key of ['macAddress', 'serial']) assert.notEqual(one[key], two[key]);
    assert.equal(existsSync(join(dir, 'home/vms', NAME, 'state.vzvmsave')), false);
  });

  test('the third macOS guest of a Mac is refused as the limit that it is, foreign ones exact', async () => {
    tart.set('foreign', '1');
    const names = [NAME, `${OWNED}w-2`];
    for (const name of names) await clone(name);
    await driver.boot(NAME, NEVER);
    await assert.rejects(driver.boot(`${OWNED}w-2`, NEVER), vmError('slots'));
    tart.clear('foreign');
    await driver.boot(`${OWNED}w-2`, NEVER);
  });

  test('macOS guests of the user are exact, and nothing else', async () => {
    const home = mkdtempSync(join(tmpdir(), 'pomona-tart-home-'));
    const { TART_HOME } = process.env;
    process.env['TART_HOME'] = home;
    try {
      assert.equal(await driver.foreignMacosGuests(OWNED), 0);
      cpSync(tart.image, join(home, 'vms/theirs'), { recursive: true });
      const theirs = spawn('tart', ['run', 'theirs', '--no-graphics'], { stdio: 'ignore' });
      await clone();
      await driver.boot(NAME, NEVER);
      while ((await driver.foreignMacosGuests(OWNED)) === 0) await sleep(50);
      assert.equal(await driver.foreignMacosGuests(OWNED), 1);
      theirs.kill('SIGINT');
      await once(theirs, 'exit');
      assert.equal(await driver.foreignMacosGuests(OWNED), 0);
    } finally {
      if (TART_HOME === undefined) delete process.env['TART_HOME'];
      else process.env['TART_HOME'] = TART_HOME;
      rmSync(home, { recursive: true });
    }
  });

  test('a guest that stops with an error is told, although Tart ends with 0', async () => {
    tart.set('guest-error');
    await clone();
    await assert.rejects(
      driver.boot(NAME, NEVER),
      /did not boot: tart run ended: guest has stopped the virtual machine due to error/,
    );
  });

  test('a guest without an address is given up, with what Tart says', async () => {
    tart.set('no-lease');
    await clone();
    await assert.rejects(
      driver.boot(NAME, NEVER),
      /after 1 s it has no network address: no IP address found/,
    );
    assert.deepEqual(await driver.list(NAME), [{ name: NAME, state: 'stopped' }]);
  });

  test('a guest that has neither the key nor the guest agent is given up as that', async () => {
    tart.set('no-agent');
    await clone();
    await assert.rejects(
      driver.boot(NAME, NEVER),
      /SSH lets nobody in: .*Permission denied.*; put .*guest\.pub into the image/,
    );
  });

  test('a guest that lists files without an end is given up', async () => {
    await clone();
    await driver.boot(NAME, NEVER);
    const script = 'mkdir files; echo "yes ./file" > ~/.ssh/rc';
    const onOutput = async () => undefined;
    await driver.exec(NAME, { argv: ['sh', '-c', script], env: {}, onOutput }, NEVER);
    const out = mkdtempSync(join(dir, 'out-'));
    await assert.rejects(
      driver.copyOut(NAME, 'files', out, NEVER),
      /its files are too many to list/,
    );
  });

  test('an image that is no machine of Tart is refused, and nothing is left', async () => {
    const cloning = driver.clone({ ...request, name: NAME, path: tmpdir(), limits: {} }, NEVER);
    await assert.rejects(
      cloning,
      /it lacks config.json, disk.img, nvram.bin; import the directory/,
    );
    assert.deepEqual(await driver.list(''), []);
  });
});
