import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FAKE = dirname(fileURLToPath(new URL('fakes/tart/tart', import.meta.url)));

/** Why the fake cannot work here; false when it can. */
export function noFakeTart(): string | false {
  if (process.platform !== 'linux') return 'the fake of Tart works on Linux';
  if (process.getuid?.() !== 0) return 'the fake of Tart runs an SSH server, as root alone can';
  if (spawnSync('sshd', ['-?']).error !== undefined)
    return 'there is no sshd (Debian: openssh-server)';
  if (spawnSync('bwrap', ['--ro-bind', '/', '/', 'true']).status === 0) return false;
  return 'the guests of the fake of Tart need bubblewrap';
}

/** A Mac with Tart, which is put before all others on PATH, and an image for it. */
export function fakeTart(os: 'darwin' | 'linux' = 'darwin') {
  const base = mkdtempSync(join(tmpdir(), 'pomona-tart-'));
  const mac = join(base, 'mac');
  const image = join(base, 'image');
  mkdirSync(mac);
  mkdirSync(join(image, 'guest-home'), { recursive: true });
  const config = { version: 1, os, arch: 'arm64', cpuCount: 4, memorySize: 8 * 2 ** 30 };
  const macAddress = '5e:00:00:00:00:01';
  writeFileSync(join(image, 'config.json'), JSON.stringify({ ...config, macAddress }));
  for (const part of ['disk.img', 'nvram.bin', 'state.vzvmsave']) {
    writeFileSync(join(image, part), part);
  }
  process.env['PATH'] = `${FAKE}:${process.env['PATH']}`;
  process.env['FAKE_TART'] = mac;
  return {
    image,
    /** Has it fail in that way, until it is cleared. */
    set: (flag: string, content = '') => writeFileSync(join(mac, flag), content),
    clear: (flag: string) => rmSync(join(mac, flag), { force: true }),
    remove: () => rmSync(base, { recursive: true }),
  };
}
