import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

const BUSYBOX = ['/bin/busybox', '/usr/bin/busybox'];

/** The static busybox of this machine (Debian: busybox-static); undefined when there is none. */
export function staticBusybox(): string | undefined {
  return BUSYBOX.find((path) => {
    if (!existsSync(path)) return false;
    try {
      // `ldd` fails for what is not dynamic.
      execFileSync('ldd', [path], { stdio: 'pipe' });
      return false;
    } catch {
      return true;
    }
  });
}

/** Fills a directory with a small root file system: busybox and a few users. */
export function makeRoot(dir: string, busybox: string): void {
  for (const part of ['bin', 'etc', 'tmp', 'root', 'work', 'home/builder']) {
    mkdirSync(join(dir, part), { recursive: true });
  }
  chmodSync(dir, 0o755);
  chmodSync(join(dir, 'tmp'), 0o1777);
  chmodSync(join(dir, 'work'), 0o777);
  copyFileSync(busybox, join(dir, 'bin/busybox'));
  chmodSync(join(dir, 'bin/busybox'), 0o755);
  for (const name of execFileSync(busybox, ['--list'], { encoding: 'utf8' }).trim().split('\n')) {
    if (name === 'busybox') continue;
    symlinkSync('busybox', join(dir, 'bin', name));
  }
  writeFileSync(
    join(dir, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nbuilder:x:1000:1000::/home/builder:/bin/sh\n',
  );
}
