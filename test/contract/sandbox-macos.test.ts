import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, describe, test } from 'node:test';
import { macosDriver, type MacosKind } from '../../src/drivers/sandbox/macos-user/macos-user.ts';
import type { Sandbox, SandboxSpec } from '../../src/drivers/sandbox/sandbox.ts';
import { startCommand } from '../../src/platform/start-command.ts';
import { fakeMacos, noFakeMacos } from '../fake-macos.ts';
import { sandboxSuite } from './sandbox-suite.ts';

const skip = noFakeMacos();
const { base, bin, state, remove } = fakeMacos();
after(remove);

/** Ids that nothing else on this machine has: what runs as them is killed. */
const ONE = 62_917;
const KINDS: readonly MacosKind[] = [
  {
    name: 'macos-user',
    rank: 0,
    uids: { first: ONE, last: ONE },
    homes: join(base, 'Users'),
  },
  { name: 'macos-users', rank: 0, uids: { first: 62_920, last: 62_940 }, homes: undefined },
];
const prefixPath = join(base, 'opt/homebrew');

for (const kind of KINDS) {
  const sandbox = await macosDriver(kind).open();
  describe(`sandbox ${kind.name} with fakes of macOS tools`, { skip }, () => {
    sandboxSuite(kind.name, sandbox, 'home', {
      seesHost: true,
      prefixPath,
      orders: { macos: kind },
      home: ({ files }) =>
        kind.homes === undefined && files.kind === 'home'
          ? files.homeDir
          : join(base, 'Users', `mac${ONE}`),
      nothingLeft: ({ name }) => {
        for (const user of readdirSync(join(state, 'ds/Users'))) {
          const owner = readFileSync(join(state, 'ds/Users', user, 'RealName'), 'utf8').trim();
          assert.notEqual(owner, name);
        }
        if (kind.homes === undefined) return;
        assert.equal(existsSync(join(base, 'Users', `mac${ONE}`)), false);
        assert.deepEqual(readdirSync(join(state, 'folders')), []);
      },
    });
  });
}

describe('users of macOS', { skip }, () => {
  let made = 0;

  function described(changes: Partial<SandboxSpec> = {}): SandboxSpec & {
    files: { kind: 'home'; homeDir: string };
  } {
    made += 1;
    const dir = join(base, `clone-${made}`);
    const files = {
      kind: 'home',
      homeDir: join(dir, 'home'),
      prefixDir: join(dir, 'prefix'),
      prefixPath,
    } as const;
    for (const each of [files.homeDir, files.prefixDir]) mkdirSync(each, { recursive: true });
    return {
      name: `pomona-test-macos-${process.pid}-${made}`,
      files,
      tmpDir: join(dir, 'tmp'),
      mounts: [],
      network: 'host',
      user: undefined,
      limits: {},
      ...changes,
    } as SandboxSpec & { files: { kind: 'home'; homeDir: string } };
  }

  async function open(at: number): Promise<Sandbox> {
    const kind = KINDS[at];
    assert.ok(kind !== undefined);
    return macosDriver(kind).open();
  }

  async function run(sandbox: Sandbox, spec: SandboxSpec, script: string, workDir = '.') {
    const launch = await sandbox.launch(spec, {
      argv: ['bash', '-c', script],
      env: { SECRET: 'it’s "hush"\n$x' },
      workDir,
    });
    assert.equal(JSON.stringify(launch).includes('hush'), false);
    const child = await startCommand(launch);
    const exit = once(child, 'exit');
    const printed = await text(child.stdout ?? process.stdin);
    await exit;
    return printed;
  }

  test('the home and prefix are where the image wants them, and come back', async () => {
    const sandbox = await open(0);
    const spec = described();
    writeFileSync(join(spec.files.homeDir, 'mine'), 'x');
    await sandbox.prepare(spec);
    const printed = await run(
      sandbox,
      spec,
      'pwd -P; cat ~/mine; echo; ls -d $POMONA_PREFIX; echo y > ~/new',
      'a/b',
    );
    assert.equal(printed, `${base}/Users/mac${ONE}/a/b\nx\n${prefixPath}\n`);
    assert.equal(existsSync(spec.files.homeDir), false);
    await sandbox.destroy(spec);
    assert.equal(readFileSync(join(spec.files.homeDir, 'new'), 'utf8'), 'y\n');
    assert.equal(existsSync(prefixPath), false);
  });

  test('one at a time: another is told who is there, until it has gone', async () => {
    const sandbox = await open(0);
    const [first, second] = [described(), described()];
    await sandbox.prepare(first);
    await assert.rejects(sandbox.prepare(second), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'busy');
      return error.message.includes(first.name);
    });
    await sandbox.destroy(second);
    assert.equal((await run(sandbox, first, 'echo still here')).trim(), 'still here');
    await sandbox.destroy(first);
    await sandbox.prepare(second);
    await sandbox.destroy(second);
  });

  test('several at once do not see each other’s files, nor end each other’s processes', async () => {
    const sandbox = await open(1);
    const [first, second] = [described(), described()];
    await sandbox.prepare(first);
    await sandbox.prepare(second);
    const long = run(sandbox, first, 'echo started > ~/started; sleep 1; echo lived');
    while (!existsSync(join(first.files.homeDir, 'started'))) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.match(await run(sandbox, second, `ls ${first.files.homeDir} 2>&1`), /Permission denied/);
    await sandbox.destroy(second);
    assert.equal(await long, 'lived\n');
    await sandbox.destroy(first);
  });

  test('the profile script comes first, then what the command asks for', async () => {
    const sandbox = await open(1);
    const spec = described();
    const profile =
      'export PATH="$HOME/compiler:$PATH"; export SECRET=other; export FROM_PROFILE=1\n';
    writeFileSync(join(spec.files.homeDir, '.obuilder_profile.sh'), profile);
    await sandbox.prepare(spec);
    const printed = await run(
      sandbox,
      spec,
      'echo $FROM_PROFILE ${PATH%%:*}; echo "$SECRET"; echo $TMPDIR',
    );
    assert.match(printed, /^1 \S+\/home\/compiler\nit’s "hush"\n\$x\n\S+\/folders\/\d+\/T\/\n$/);
    assert.deepEqual(readdirSync(join(spec.tmpDir, 'start')), []);
    await sandbox.destroy(spec);
  });

  test('secrets are in the directory that is told too', async () => {
    const sandbox = await open(0);
    const source = join(base, 'token');
    writeFileSync(source, 'hush', { mode: 0o600 });
    const target = join(base, 'Users', `mac${ONE}`, 'deep/er/token');
    const spec = described({ mounts: [{ source, target, readOnly: true }] });
    await sandbox.prepare(spec);
    const script =
      'cat $OBUILDER_SECRETS_DIR/token ~/deep/er/token; stat -c %a:%u $OBUILDER_SECRETS_DIR/token';
    assert.equal(await run(sandbox, spec, script), `hushhush400:${ONE}\n`);
    await sandbox.destroy(spec);
    assert.deepEqual(readdirSync(join(spec.files.homeDir, 'deep/er')), []);
  });

  test('what was at a cache’s target is there again afterwards', async () => {
    const sandbox = await open(0);
    const source = join(base, 'cache');
    mkdirSync(source);
    const target = join(base, 'Users', `mac${ONE}`, '.cache');
    const spec = described({ mounts: [{ source, target, readOnly: false }] });
    mkdirSync(join(spec.files.homeDir, '.cache'));
    writeFileSync(join(spec.files.homeDir, '.cache/old'), '');
    await sandbox.prepare(spec);
    assert.equal(await run(sandbox, spec, 'ls ~/.cache; echo x > ~/.cache/new'), '');
    await sandbox.destroy(spec);
    assert.deepEqual(readdirSync(source), ['new']);
    assert.deepEqual(readdirSync(spec.files.homeDir), ['.cache']);
    assert.deepEqual(readdirSync(join(spec.files.homeDir, '.cache')), ['old']);
  });

  test('a prefix that has the host’s own files is not touched', async () => {
    const sandbox = await open(0);
    mkdirSync(prefixPath, { recursive: true });
    writeFileSync(join(prefixPath, 'brew'), 'the host’s');
    const spec = described();
    await assert.rejects(sandbox.prepare(spec), { code: 'bad_mount' });
    await sandbox.destroy(spec);
    assert.equal(readFileSync(join(prefixPath, 'brew'), 'utf8'), 'the host’s');
    assert.equal(lstatSync(spec.files.homeDir).isDirectory(), true);
    rmSync(prefixPath, { recursive: true });
  });

  test('a user that cannot be made, or a removal that fails, is told and can be repeated', async () => {
    const sandbox = await open(0);
    const spec = described();
    writeFileSync(join(state, 'fail-dscl'), '1 eServerNotRunning\n');
    await assert.rejects(sandbox.prepare(spec), /dscl .* failed .*eServerNotRunning/);
    await sandbox.prepare(spec);
    writeFileSync(join(state, 'fail-dscl'), '1 eServerNotRunning\n');
    await assert.rejects(sandbox.destroy(spec), /eServerNotRunning/);
    await sandbox.destroy(spec);
    assert.deepEqual(readdirSync(join(state, 'ds/Users')), []);
  });

  test('after a reboot forgot who has which user, what is left is removed', async () => {
    const sandbox = await open(0);
    const spec = described();
    await sandbox.prepare(spec);
    rmSync(`/run/pomona/uids/${ONE}`);
    await sandbox.destroy(spec);
    assert.deepEqual(readdirSync(join(state, 'ds/Users')), []);
    assert.equal(lstatSync(spec.files.homeDir).isDirectory(), true);
    assert.equal(existsSync(`/run/pomona/uids/${ONE}`), false);
  });

  test('datasets change their mountpoints, also when they are busy', async () => {
    const sandbox = await open(0);
    const spec = described();
    mkdirSync(join(state, 'zfs'), { recursive: true });
    execFileSync('zfs', ['create', '-o', `mountpoint=${spec.files.homeDir}`, 'pool/result/x/home']);
    try {
      await sandbox.prepare(spec);
      assert.match(readFileSync('/proc/mounts', 'utf8'), new RegExp(`/Users/mac${ONE} `));
      await run(sandbox, spec, 'echo x > ~/in-dataset; (setsid sleep 5000 >/dev/null 2>&1 &)');
      writeFileSync(join(state, 'fail-zfs'), '1 pool or dataset is busy\n');
      await sandbox.destroy(spec);
      assert.equal(readFileSync(join(spec.files.homeDir, 'in-dataset'), 'utf8'), 'x\n');
    } finally {
      execFileSync('zfs', ['destroy', 'pool/result/x/home']);
    }
  });

  test('where the system has no sandbox-exec, no network is declared to be impossible', async () => {
    rmSync(join(bin, 'sandbox-exec'));
    const sandbox = await open(1);
    assert.deepEqual(sandbox.capabilities.network, { host: true, none: false });
    const spec = described({ network: 'none' });
    await assert.rejects(sandbox.prepare(spec), { code: 'unsupported' });
    await sandbox.destroy(spec);
  });
});
