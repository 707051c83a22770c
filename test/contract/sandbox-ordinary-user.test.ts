import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { after, describe, test } from 'node:test';
import type { SandboxSpec } from '../../src/drivers/sandbox/sandbox.ts';
import { makeRoot, staticBusybox } from './root-file-system.ts';

/** Any id without a name. */
const SOMEONE = { uid: 60_321, gid: 60_321 };
const LAUNCHER = fileURLToPath(new URL('sandbox-launcher.ts', import.meta.url));

/** Why this cannot be tried here; false when it can. */
function obstacle(): string | false {
  if (process.getuid?.() !== 0) return 'only root can become someone else';
  if (staticBusybox() === undefined) return 'install busybox-static';
  const options = { ...SOMEONE, cwd: '/' };
  if (spawnSync(process.execPath, ['--check', LAUNCHER], options).status !== 0) {
    return 'the checkout cannot be read by other users';
  }
  const bwrap = ['--unshare-user', '--ro-bind', '/', '/', 'true'];
  if (spawnSync('bwrap', bwrap, options).status === 0) return false;
  return 'bubblewrap cannot make user namespaces for ordinary users here';
}

describe('bubblewrap over a root file system as an ordinary user', { skip: obstacle() }, () => {
  const base = mkdtempSync(join(tmpdir(), 'pomona-ordinary-'));
  chownSync(base, SOMEONE.uid, SOMEONE.gid);
  after(() => rmSync(base, { recursive: true }));
  let made = 0;

  async function run(script: string, changes: Partial<SandboxSpec>): Promise<string> {
    made += 1;
    const rootDir = join(base, `root-${made}`);
    mkdirSync(rootDir);
    makeRoot(rootDir, staticBusybox() ?? '');
    spawnSync('chown', ['-R', `${SOMEONE.uid}:${SOMEONE.gid}`, rootDir]);
    const spec: SandboxSpec = {
      name: `pomona-test-ordinary-${process.pid}-${made}`,
      files: { kind: 'root', rootDir },
      tmpDir: join(base, `tmp-${made}`),
      mounts: [],
      network: 'host',
      user: undefined,
      limits: {},
      ...changes,
    };
    const launcher = spawn(process.execPath, [LAUNCHER], {
      ...SOMEONE,
      cwd: '/',
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const command = { argv: ['sh', '-c', script], env: {}, workDir: '/work' };
    launcher.stdin.end(JSON.stringify({ driver: 'bubblewrap', spec, command }));
    return text(launcher.stdout);
  }

  test('a command is root there, or another, and its files are ours', async () => {
    assert.equal(await run('id -u; echo x > f; stat -c %u f', {}), '0\n0\nended 0\n');
    const user = { uid: 1000, gid: 100 };
    assert.equal(await run('id -u; id -g; stat -c %u .', { user }), '1000\n100\n1000\nended 0\n');
  });

  test('there are no other ids to give files to', async () => {
    assert.match(await run('chown 1234 . || echo refused', {}), /refused\nended 0\n$/);
  });

  test('mounts, secrets and no network work without root', async () => {
    const cache = join(base, 'cache');
    mkdirSync(cache);
    chownSync(cache, SOMEONE.uid, SOMEONE.gid);
    const secret = join(base, 'secret');
    writeFileSync(secret, 'hush\n');
    chmodSync(secret, 0o400);
    chownSync(secret, SOMEONE.uid, SOMEONE.gid);
    const printed = await run('cat /etc/token; echo x > /var/cache/in; grep -c : /proc/net/dev', {
      network: 'none',
      mounts: [
        { source: cache, target: '/var/cache', readOnly: false },
        { source: secret, target: '/etc/token', readOnly: true },
      ],
    });
    assert.equal(printed, 'hush\n1\nended 0\n');
    assert.equal(readFileSync(join(cache, 'in'), 'utf8'), 'x\n');
  });
});
