import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { qemuDriver } from '../src/drivers/vm/qemu/qemu.ts';
import { staticBusybox } from './contract/root-file-system.ts';

const KERNEL = 'linux-image-cloud-amd64';
const DISK = '160M';
/** What the kernel needs to find its disk, its network card and the power button; in this order. */
const MODULES = [
  ...['virtio_ring', 'virtio', 'virtio_pci_legacy_dev', 'virtio_pci_modern_dev', 'virtio_pci'],
  ...['virtio_blk', 'failover', 'net_failover', 'virtio_net', 'virtio-rng', 'button', 'evdev'],
];
const PROGRAMS = [
  ...['/usr/sbin/sshd', '/usr/bin/ssh-keygen', '/usr/bin/tar', '/usr/bin/dash'],
  '/usr/sbin/mkfs.ext4',
];
/** What it is for. */
const HYPERVISOR = ['/usr/bin/qemu-system-x86_64', '/usr/bin/qemu-img'];
/** Not of busybox: what a guest of Debian or macOS has can more. */
const NOT_APPLETS: ReadonlySet<string> = new Set(['busybox', 'sh', 'tar']);

/**
 * A small Linux guest made of Debian's kernel and of programs of this Debian: it takes its key and
 * host name as a guest with systemd does, and shuts down when its power button is pressed. Made once
 * for a machine. Returns the directory of the image, or why there is none.
 */
export function debianGuest(): { readonly dir: string } | { readonly none: string } {
  if (process.arch !== 'x64') return { none: 'the guest of these tests is for x64 only' };
  const busybox = staticBusybox();
  if (busybox === undefined) return { none: 'there is no static busybox (Debian: busybox-static)' };
  const lacking = [...PROGRAMS, ...HYPERVISOR].find((program) => !existsSync(program));
  if (lacking !== undefined) {
    return {
      none: `there is no ${lacking} (Debian: openssh-server, e2fsprogs, qemu-system-x86, qemu-utils)`,
    };
  }
  const recipe = createHash('sha256').update(readFileSync(fileURLToPath(import.meta.url)));
  const dir = join(tmpdir(), `pomona-guest-${recipe.digest('hex').slice(0, 12)}`);
  if (existsSync(dir)) return { dir };
  const work = mkdtempSync(join(tmpdir(), 'pomona-guest-new-'));
  try {
    const image = join(work, 'image');
    mkdirSync(image);
    const modules = fetchKernel(work, join(image, 'vmlinuz'));
    makeInitrd(join(work, 'initrd'), busybox, modules, join(image, 'initrd.img'));
    makeDisk(join(work, 'root'), busybox, join(image, 'disk.img'));
    writeFileSync(join(image, 'cmdline'), 'root=/dev/vda console=ttyS0 quiet panic=1\n');
    if (!existsSync(dir)) renameSync(image, dir);
    return { dir };
  } catch (error) {
    return { none: `a Debian guest cannot be made: ${(error as Error).message.slice(0, 300)}` };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Why QEMU cannot run that guest here; false when it can. */
export async function noQemuFor(guest: ReturnType<typeof debianGuest>): Promise<string | false> {
  if ('none' in guest) return guest.none;
  const { available, detail } = await qemuDriver().probe();
  return available ? false : detail;
}

/** Returns the paths of the modules. */
function fetchKernel(work: string, vmlinuz: string): string[] {
  const [, kernel = ''] = /Depends: (\S+)/.exec(run('apt-cache', ['depends', KERNEL])) ?? [];
  run('apt-get', ['download', '-q', kernel], work);
  const [deb = ''] = readdirSync(work).filter((name) => name.endsWith('.deb'));
  run('dpkg', ['-x', deb, 'kernel'], work);
  const boot = join(work, 'kernel/boot');
  const [found = ''] = readdirSync(boot).filter((name) => name.startsWith('vmlinuz'));
  copyFileSync(join(boot, found), vmlinuz);
  const files = run('find', [join(work, 'kernel/lib/modules'), '-name', '*.ko']).split('\n');
  return MODULES.flatMap((name) => files.filter((file) => basename(file) === `${name}.ko`));
}

function makeInitrd(root: string, busybox: string, modules: readonly string[], target: string) {
  for (const dir of ['bin', 'proc', 'dev', 'new', 'modules']) {
    mkdirSync(join(root, dir), { recursive: true });
  }
  copyFileSync(busybox, join(root, 'bin/busybox'));
  symlinkSync('busybox', join(root, 'bin/sh'));
  for (const file of modules) copyFileSync(file, join(root, 'modules', basename(file)));
  const loads = modules.map((file) => `busybox insmod /modules/${basename(file)}`);
  script(
    join(root, 'init'),
    `export PATH=/bin
busybox mount -t devtmpfs dev /dev
${loads.join('\n')}
tries=0
until [ -b /dev/vda ] || [ $tries = 100 ]; do busybox sleep 0.1; tries=$((tries + 1)); done
busybox mount -t ext4 /dev/vda /new || exec busybox sh
exec busybox switch_root /new /sbin/init`,
  );
  const names = run('find', ['.'], root);
  const archive = execFileSync(busybox, ['cpio', '-o', '-H', 'newc'], {
    ...{ cwd: root, input: names, maxBuffer: 2 ** 28 },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  writeFileSync(target, archive);
}

function makeDisk(root: string, busybox: string, target: string) {
  for (const dir of [
    ...['bin', 'sbin', 'usr/sbin', 'usr/bin', 'proc', 'sys', 'dev', 'run', 'tmp', 'etc/ssh'],
    ...['root/.ssh', 'etc/acpi/PWRF', 'var/empty', 'lib', 'lib64', 'usr/lib'],
  ]) {
    mkdirSync(join(root, dir), { recursive: true });
  }
  copyFileSync(busybox, join(root, 'bin/busybox'));
  for (const applet of run(busybox, ['--list']).trim().split('\n')) {
    if (!NOT_APPLETS.has(applet)) symlinkSync('busybox', join(root, 'bin', applet));
  }
  symlinkSync('/usr/bin/dash', join(root, 'bin/sh'));
  for (const program of PROGRAMS) {
    copyFileSync(program, join(root, program));
    for (const [library] of run('ldd', [program]).matchAll(/\/\S+/g)) {
      if (existsSync(join(root, library))) continue;
      mkdirSync(dirname(join(root, library)), { recursive: true });
      copyFileSync(library, join(root, library));
    }
  }
  const users = ['root:x:0:0:root:/root:/bin/sh', 'sshd:x:74:74:sshd:/var/empty:/bin/false'];
  writeFileSync(join(root, 'etc/passwd'), `${users.join('\n')}\n`);
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\nsshd:x:74:\n');
  writeFileSync(join(root, 'etc/shells'), '/bin/sh\n');
  writeFileSync(join(root, 'etc/ssh/sshd_config'), '');
  chmodSync(join(root, 'root'), 0o700);
  chmodSync(join(root, 'root/.ssh'), 0o700);
  script(join(root, 'etc/acpi/PWRF/00000080'), 'poweroff -f');
  script(
    join(root, 'sbin/init'),
    `export PATH=/bin:/usr/bin:/usr/sbin HOME=/root
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts; mount -t devpts pts /dev/pts; mount -t tmpfs run /run; mount -t tmpfs tmp /tmp
mount -o remount,rw /
given() { cat /sys/firmware/dmi/entries/11-*/raw | tr '\\0' '\\n' | sed -n "s/^[^a-z]*io.systemd.credential$1=//p"; }
given .binary:ssh.authorized_keys.root | base64 -d > /root/.ssh/authorized_keys
hostname "$(given :system.hostname)"
ip link set lo up; ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2
acpid -l /dev/null -p /run/acpid.pid
mkdir -p /run/sshd
ssh-keygen -q -t ed25519 -N '' -f /run/host_key
echo "the guest is up"
/usr/sbin/sshd -h /run/host_key -o UsePAM=no -o StrictModes=no -o PidFile=none -o PrintMotd=no
while :; do sleep 1000; done`,
  );
  run('mke2fs', ['-q', '-F', '-t', 'ext4', '-E', 'root_owner=0:0', '-d', root, target, DISK]);
}

function script(path: string, text: string) {
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
}

function run(file: string, args: readonly string[], cwd = '/'): string {
  return execFileSync(file, args, {
    ...{ cwd, encoding: 'utf8', maxBuffer: 2 ** 26 },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}
