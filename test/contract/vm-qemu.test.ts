import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, describe, test } from 'node:test';
import { qemuDriver } from '../../src/drivers/vm/qemu/qemu.ts';
import { debianGuest } from '../debian-guest.ts';
import { NO_SMALL_FS, smallFs } from '../small-fs.ts';
import { IMAGE, NAME, NEVER, vmError } from './vm-suite.ts';

const guest = debianGuest();
const skip = 'none' in guest ? guest.none : false;

describe('vm qemu, in trouble', { skip }, () => {
  const base = mkdtempSync(join(tmpdir(), 'pomona-qemu-test-'));
  const dir = join(base, 'vms');
  const small = 'none' in guest ? '' : guest.dir;
  const driver = qemuDriver({ timeouts: { port: 2_500, login: 3_000 } }).open(dir);
  const clone = (path: string, limits = { cpus: 1, memoryBytes: 256 * 2 ** 20 }) =>
    driver.clone({ name: NAME, image: IMAGE, path, limits, guest: 'linux' }, NEVER);
  const file = (name: string, content: string | Buffer = '') => {
    writeFileSync(join(base, name), content);
    return join(base, name);
  };
  /** The small guest with another command line for its kernel. */
  function changed(name: string, cmdline: string): string {
    const image = mkdtempSync(join(base, name));
    for (const part of ['disk.img', 'vmlinuz', 'initrd.img']) {
      symlinkSync(join(small, part), join(image, part));
    }
    writeFileSync(join(image, 'cmdline'), cmdline);
    return image;
  }
  afterEach(() => driver.destroy(NAME));
  after(() => rmSync(base, { recursive: true }));

  test('a guest that never listens is given up, with the end of its console', async () => {
    await clone(changed('silent', 'console=ttyS0 root=/dev/none rdinit=/none panic=0'));
    await assert.rejects(driver.boot(NAME, NEVER), (error: Error) => {
      assert.match(
        error.message,
        /after \d+ s nothing listens for SSH: .*; its console ends with: .*panic/i,
      );
      return vmError('boot_failed')(error);
    });
    assert.deepEqual(await driver.list(NAME), [{ name: NAME, state: 'stopped' }]);
  });

  test('a machine that cannot start is told in the words of QEMU', async () => {
    await clone(small, { cpus: 1, memoryBytes: 2 ** 50 });
    await assert.rejects(driver.boot(NAME, NEVER), /did not boot: QEMU ended: .*(memory|RAM)/i);
  });

  test('a guest that lets the key not in is told as that', async () => {
    const request = {
      name: NAME,
      image: IMAGE,
      path: small,
      guest: 'linux',
      user: 'sshd',
    } as const;
    const patient = qemuDriver({ timeouts: { login: 2_000 } }).open(dir);
    await patient.clone({ ...request, limits: { cpus: 1, memoryBytes: 256 * 2 ** 20 } }, NEVER);
    await assert.rejects(
      patient.boot(NAME, NEVER),
      /after 2 s SSH lets nobody in: .*Permission denied/,
    );
  });

  test('an image that is none for QEMU is refused with what to do, and nothing is left', async () => {
    const overlay = join(base, 'overlay.qcow2');
    const whole = file('whole.raw', Buffer.alloc(2 ** 20));
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', whole, overlay]);
    const disk = join(base, 'disk.vmdk');
    execFileSync('qemu-img', ['create', '-q', '-f', 'vmdk', disk, '1M']);
    await assert.rejects(
      clone(overlay),
      /refers to another file; make it whole: `qemu-img convert/,
    );
    await assert.rejects(clone(disk), /is of the format vmdk; convert it/);
    await assert.rejects(clone(mkdtempSync(join(base, 'empty'))), /has no disk for QEMU/);
    assert.deepEqual(await driver.list(''), []);
    assert.equal(readdirSync(dir).includes(NAME), false);
  });

  test('each clone has an identity of its own, and keeps it', async () => {
    const seen = new Set<string>();
    for (let round = 0; round < 3; round += 1) {
      await clone(small);
      const text = readFileSync(join(dir, NAME, 'vm.json'), 'utf8');
      const { identity } = JSON.parse(text) as { identity: Record<string, string> };
      for (const key of ['mac', 'uuid', 'serial']) seen.add(identity[key] ?? '');
      assert.equal(identity['hostName'], NAME);
    }
    assert.equal(seen.size, 9);
  });

  test('a full disk is told as such, and nothing is left', { skip: NO_SMALL_FS }, async (t) => {
    const disk = await smallFs(t, 2 ** 20);
    const vms = join(disk, 'vms');
    mkdirSync(vms);
    execFileSync('sh', ['-c', `cat /dev/zero > ${disk}/filler 2>/dev/null || true`]);
    const full = qemuDriver().open(vms);
    const request = { name: NAME, image: IMAGE, path: small, guest: 'linux', limits: {} } as const;
    await assert.rejects(full.clone(request, NEVER), vmError('no_space'));
    assert.deepEqual(readdirSync(vms), []);
  });
});
