import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { VmMaking } from '../../src/drivers/vm/making.ts';
import type { VmDriver } from '../../src/drivers/vm/vm.ts';
import { IMAGE, NAME, NEVER, OWNED, vmError, type TestHost } from './vm-suite.ts';

const REACH_MS = 120_000;

/** A host whose driver makes images. */
export interface MakingHost extends TestHost {
  /** A person sets up what was installed. Absent where nothing can be installed. */
  setUp?(): void;
  /** Has installations fail, until it is called with false. */
  spoilInstalls?(spoilt: boolean): void;
}

/** What every VM driver does that can make images. */
export function vmMakingContract(makeHost: (dir: string) => MakingHost): void {
  let dir = '';
  let path = '';
  let host: MakingHost;
  let driver: VmDriver;
  let making: VmMaking;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'pomona-making-'));
    host = makeHost(join(dir, 'vms'));
    driver = host.entry.open(join(dir, 'vms'));
    assert.ok(driver.making);
    making = driver.making;
    path = join(dir, 'copy');
    await cp(host.from.path ?? '', path, { recursive: true });
  });
  afterEach(async () => {
    for (const { name } of await driver.list('')) await driver.destroy(name);
    await rm(dir, { recursive: true });
  });

  const clone = (name: string, identity?: string) =>
    driver.clone(
      { name, image: IMAGE, ...host.from, path, ...(identity === undefined ? {} : { identity }) },
      NEVER,
    );
  async function sh(name: string, script: string): Promise<string> {
    let said = '';
    const onOutput = async (chunk: Uint8Array) => void (said += Buffer.from(chunk).toString());
    const command = { argv: ['sh', '-c', script], env: {}, onOutput };
    const { exitCode } = await driver.exec(name, command, NEVER);
    assert.equal(exitCode, 0, said);
    return said;
  }
  async function untilReached(name: string): Promise<void> {
    const deadline = performance.now() + REACH_MS;
    for (;;) {
      const matter = await making.reach(name, NEVER);
      if (matter === undefined) return;
      assert.ok(performance.now() < deadline, matter);
      await sleep(100);
    }
  }

  test('what was done in a VM is there in those that are cloned after it was saved', async () => {
    await clone(NAME, 'an image');
    await driver.boot(NAME, NEVER);
    await sh(NAME, 'echo installed > tool; sync');
    await assert.rejects(making.save(NAME, path, NEVER), vmError('running'));
    await driver.stop(NAME, 60_000);
    await making.save(NAME, path, NEVER);
    await making.save(NAME, path, NEVER);
    await driver.destroy(NAME);
    await clone(`${OWNED}w-2`);
    await driver.boot(`${OWNED}w-2`, NEVER);
    assert.equal(await sh(`${OWNED}w-2`, 'cat tool'), 'installed\n');
  });

  test('clones of one identity look the same to the network, and others do not', async () => {
    const macs: (string | undefined)[] = [];
    for (const identity of ['an image', 'an image', undefined, undefined]) {
      await clone(NAME, identity);
      macs.push((await making.show(NAME)).mac);
      await driver.destroy(NAME);
    }
    const [first, second, third, fourth] = macs;
    assert.match(first ?? '', /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/);
    assert.equal(second, first);
    assert.equal(new Set([first, third, fourth]).size, 3);
  });

  test('a VM that is shown is reached as soon as it lets in, and looking changes nothing', async () => {
    await clone(NAME, 'an image');
    assert.match((await making.reach(NAME, NEVER)) ?? '', /switched off/);
    assert.notEqual((await making.show(NAME)).where, '');
    await making.show(NAME);
    await untilReached(NAME);
    assert.equal(await sh(NAME, 'echo in'), 'in\n');
    await assert.rejects(making.show(`${OWNED}w-none`), vmError('missing'));
  });

  test('macOS is installed where the driver can, and set up by a person', async (t) => {
    const { install } = making;
    if (install === undefined) return t.skip('this driver installs nothing');
    const notes: string[] = [];
    const ipsw = join(dir, 'macos.ipsw');
    await writeFile(ipsw, 'macOS 15');
    const request = { name: NAME, ipsw, diskBytes: 64e9, limits: { cpus: 2 } };
    const onNote = (text: string) => void notes.push(text);
    host.spoilInstalls?.(true);
    await assert.rejects(install({ ...request, onNote }, NEVER), vmError('tool_failed'));
    assert.deepEqual(await driver.list(''), []);
    host.spoilInstalls?.(false);
    await install({ ...request, onNote }, NEVER);
    assert.ok(notes.length > 0);
    const installed = join(dir, 'installed');
    await mkdir(installed);
    await making.save(NAME, installed, NEVER);
    await driver.destroy(NAME);
    const from = { ...host.from, path: installed, identity: 'an image' };
    await driver.clone({ name: NAME, image: IMAGE, ...from }, NEVER);
    await making.show(NAME);
    await sleep(600);
    assert.notEqual(await making.reach(NAME, NEVER), undefined);
    host.setUp?.();
    await untilReached(NAME);
    assert.equal(await sh(NAME, 'echo in'), 'in\n');
  });
}
