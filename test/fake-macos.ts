import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FAKES = fileURLToPath(new URL('fakes/macos/bin', import.meta.url));

/** Why the fakes cannot work here; false when they can. */
export function noFakeMacos(): string | false {
  if (process.platform !== 'linux') return 'the fakes of macOS tools work on Linux';
  if (process.getuid?.() !== 0) return 'only root can run commands as other users';
  if (spawnSync('bwrap', ['--ro-bind', '/', '/', 'true']).status === 0) return false;
  return 'the fake of sandbox-exec needs bubblewrap';
}

/** Puts fakes of the tools of macOS before all others on PATH, with a state of their own. */
export function fakeMacos({ zfs = true }: { /** That of ZFS too. */ readonly zfs?: boolean } = {}) {
  const base = mkdtempSync(join(tmpdir(), 'pomona-macos-'));
  const state = join(base, 'state');
  const bin = join(base, 'bin');
  chmodSync(base, 0o755);
  cpSync(FAKES, bin, { recursive: true });
  if (!zfs) rmSync(join(bin, 'zfs'));
  mkdirSync(join(state, 'ds/Users'), { recursive: true });
  mkdirSync(join(state, 'folders'), { mode: 0o1777 });
  chmodSync(join(state, 'folders'), 0o1777);
  process.env['PATH'] = `${bin}:${process.env['PATH']}`;
  return { base, bin, state, remove: () => rmSync(base, { recursive: true }) };
}
