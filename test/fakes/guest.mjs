// What runs as the guest of a machine of the fakes of Tart and Parallels: a sandbox with a real SSH server,
// which has a user `admin` whose home is part of the machine.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const UID = 3001;
const USERS = `root:x:0:0:root:/root:/bin/sh
sshd:x:74:74::/run/sshd:/bin/false
admin:x:${UID}:${UID}:admin:/Users/admin:/bin/sh
`;

/** Each has one of the loopback device's. */
export function addressOf(macAddress) {
  const [a, b] = createHash('sha1').update(macAddress).digest();
  return `127.90.${a}.${(b % 250) + 2}`;
}

/** Starts the guest; `state` is a directory for what is around it. The sandbox ends with us. */
export function startGuest({ state, home, name, macAddress, shares = [] }) {
  mkdirSync(home, { recursive: true });
  spawnSync('chown', ['-R', `${UID}:${UID}`, home]);
  for (const { path } of shares) spawnSync('chown', ['-R', `${UID}:${UID}`, path]);
  const own = join(state, `guest-${macAddress.replaceAll(':', '')}`);
  mkdirSync(own, { recursive: true });
  const key = join(own, 'key');
  rmSync(key, { force: true });
  spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  writeFileSync(join(own, 'passwd'), USERS);
  const links = ['bin', 'lib', 'lib64', 'sbin'].flatMap((dir) => [
    '--symlink',
    `usr/${dir}`,
    `/${dir}`,
  ]);
  const around =
    '--ro-bind /usr /usr --proc /proc --dev /dev --tmpfs /tmp --tmpfs /run --dir /run/sshd --dir /etc';
  const apart =
    '--unshare-pid --unshare-uts --unshare-ipc --die-with-parent --cap-add ALL --clearenv';
  const sshd =
    '/usr/sbin/sshd -D -f /dev/null -h /run/key -o UsePAM=no -o StrictModes=no -o PidFile=none';
  const args = [
    ...[...around.split(' '), ...links, ...apart.split(' '), '--hostname', `${name}.local`],
    ...['--ro-bind', join(own, 'passwd'), '/etc/passwd', '--ro-bind', key, '/run/key'],
    // The room that is free in it is that of the machine which runs the tests: nobody is to fill it.
    ...['--perms', '1777', '--tmpfs', '/dev/shm'],
    ...['--ro-bind', '/usr/bin/true', '/usr/sbin/fstrim'],
    ...['--perms', '0755', '--dir', '/Users', '--bind', home, '/Users/admin'],
    ...['/Volumes', '/Volumes/My Shared Files'].flatMap((dir) => ['--perms', '0755', '--dir', dir]),
    ...shares.flatMap((share) => ['--bind', share.path, `/Volumes/My Shared Files/${share.name}`]),
    ...[...sshd.split(' '), '-o', `ListenAddress=${addressOf(macAddress)}:22`],
  ];
  // Without our environment, by which whoever started us is known.
  const guest = spawn('/usr/bin/bwrap', args, { stdio: 'ignore', env: {} });
  spawnSync('sleep', ['0.1']);
  return guest;
}

/** Pid of the first process in the guest's sandbox. */
export function insideOf(guest) {
  const children = readFileSync(`/proc/${guest.pid}/task/${guest.pid}/children`, 'utf8');
  return Number(children.split(' ')[0]);
}

/** Runs a command in a guest as its user, as its hypervisor's tools would. Returns its exit code. */
export function execInGuest(pid, argv) {
  const as = ['setpriv', `--reuid=${UID}`, `--regid=${UID}`, '--clear-groups'];
  const env = ['env', '-i', 'HOME=/Users/admin', 'PATH=/usr/bin:/bin'];
  const args = ['-t', String(pid), '-a', ...as, ...env, ...argv];
  return spawnSync('nsenter', args, { stdio: 'inherit' }).status ?? 1;
}
