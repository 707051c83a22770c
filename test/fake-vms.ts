import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Why the fakes of Tart and Parallels cannot work here; false when they can. */
export function noFakeVms(): string | false {
  if (process.platform !== 'linux') return 'the fakes of Tart and Parallels work on Linux';
  if (process.getuid?.() !== 0) return 'the fakes run SSH servers, as root alone can';
  if (spawnSync('sshd', ['-?']).error !== undefined) {
    return 'there is no sshd (Debian: openssh-server)';
  }
  if (spawnSync('bwrap', ['--ro-bind', '/', '/', 'true']).status === 0) return false;
  return 'the guests of the fakes need bubblewrap';
}

/** A Mac of a test's, with a fake before all other programs on PATH, and an image for it. */
export interface FakeMac {
  /** A machine's bundle. */
  readonly image: string;
  /** Has it fail in that way, until it is cleared. */
  set(flag: string, content?: string): void;
  clear(flag: string): void;
  remove(): void;
}

export function fakeTart(): FakeMac {
  const config = { version: 1, os: 'darwin', arch: 'arm64', cpuCount: 4, memorySize: 2 ** 33 };
  return fakeMac('tart', 'FAKE_TART', {
    'config.json': JSON.stringify({ ...config, macAddress: `5e:00:00:${octets(':')}` }),
    'disk.img': 'the disk',
    'nvram.bin': 'settings',
    'state.vzvmsave': 'suspended',
  });
}

export function fakeParallels(): FakeMac {
  return fakeMac('parallels', 'FAKE_PARALLELS', {
    'config.pvs': JSON.stringify({ name: 'macOS 15', mac: `001C42${octets('').toUpperCase()}` }),
    'disk0.img': 'the disk',
    'macid.bin': 'identity',
  });
}

/** Machines that keep the address of their image have one of their own in each test file. */
function octets(separator: string): string {
  return [...randomBytes(3)].map((byte) => byte.toString(16).padStart(2, '0')).join(separator);
}

function fakeMac(
  tool: string,
  variable: string,
  bundle: Readonly<Record<string, string>>,
): FakeMac {
  const base = mkdtempSync(join(tmpdir(), `pomona-${tool}-`));
  const [mac, image] = [join(base, 'mac'), join(base, 'image')];
  mkdirSync(mac);
  mkdirSync(join(image, 'guest-home'), { recursive: true });
  for (const [name, content] of Object.entries(bundle)) writeFileSync(join(image, name), content);
  const fake = fileURLToPath(new URL(`fakes/${tool}`, import.meta.url));
  process.env['PATH'] = `${fake}:${process.env['PATH']}`;
  process.env[variable] = mac;
  return {
    image,
    set: (flag, content = '') => writeFileSync(join(mac, flag), content),
    clear: (flag) => rmSync(join(mac, flag), { force: true }),
    remove: () => rmSync(base, { recursive: true }),
  };
}
