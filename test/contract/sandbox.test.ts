import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { SANDBOX_DRIVERS } from '../../src/drivers/sandbox/drivers.ts';
import type { Sandbox, SandboxDriver, SandboxSpec } from '../../src/drivers/sandbox/sandbox.ts';
import { startCommand } from '../../src/platform/start-command.ts';
import { removeTree } from '../../src/platform/tree.ts';
import { living } from '../system/pomona.ts';

for (const driver of Object.values(SANDBOX_DRIVERS)) {
  const report = await driver.probe();
  const skip = report.available ? false : report.detail;
  describe(`sandbox ${driver.name}`, { skip }, () => sandboxContract(driver));
}

function sandboxContract(driver: SandboxDriver): void {
  let base = '';
  let sandbox: Sandbox;
  let made = 0;
  const specs: SandboxSpec[] = [];

  before(async () => {
    base = await mkdtemp(join(tmpdir(), 'pomona-sandbox-'));
    await chmod(base, 0o711);
    sandbox = await driver.open();
  });
  after(async () => {
    for (const spec of specs) await sandbox.destroy(spec);
    await removeTree(base);
  });

  async function environment(limits: SandboxSpec['limits'] = {}): Promise<SandboxSpec> {
    made += 1;
    const name = `pomona-test-${driver.name}-${process.pid}-${made}`;
    const dir = join(base, name);
    const spec: SandboxSpec = {
      name,
      homeDir: join(dir, 'home'),
      prefixDir: join(dir, 'prefix'),
      tmpDir: join(dir, 'tmp'),
      prefixPath: '/usr/local',
      limits,
    };
    await mkdir(join(spec.homeDir, 'work'), { recursive: true });
    await mkdir(join(spec.prefixDir, 'bin'), { recursive: true });
    await chmod(dir, 0o711);
    await writeFile(join(spec.prefixDir, 'bin', 'tool'), '#!/bin/sh\necho from the prefix\n');
    await chmod(join(spec.prefixDir, 'bin', 'tool'), 0o755);
    specs.push(spec);
    await sandbox.prepare(spec);
    return spec;
  }

  async function run(spec: SandboxSpec, script: string, env: Record<string, string> = {}) {
    const launch = await sandbox.launch(spec, {
      argv: ['sh', '-c', script],
      env,
      workDir: 'work',
    });
    const child = await startCommand(launch);
    const exit = once(child, 'exit') as Promise<[number | null]>;
    assert.ok(child.stdout);
    const printed = text(child.stdout);
    const [code] = await exit;
    return { code, printed: () => printed };
  }

  test('exit code, both outputs in order, environment and working directory', async () => {
    const spec = await environment();
    const { code, printed } = await run(
      spec,
      'echo 1; echo 2 >&2; echo 3; echo "$GREETING"; basename "$PWD"; touch ~/mine; exit 9',
      { GREETING: 'hello' },
    );
    assert.deepEqual([code, await printed()], [9, '1\n2\n3\nhello\nwork\n']);
  });

  test('nothing of our own environment comes in, and the worker’s mark stays', async () => {
    process.env['SECRET_OF_THE_AGENT'] = 'x';
    const spec = await environment();
    const { printed } = await run(spec, 'env', { POMONA_WORKER: 'someone-else' });
    const env = (await printed()).split('\n');
    assert.ok(env.includes(`POMONA_WORKER=${spec.name}`));
    assert.equal(
      env.some((line) => line.startsWith('SECRET_OF_THE_AGENT')),
      false,
    );
  });

  test('tools of the prefix are found', async () => {
    const spec = await environment();
    assert.equal(await (await run(spec, 'tool')).printed(), 'from the prefix\n');
  });

  test('a program that does not exist ends with 127', async () => {
    const spec = await environment();
    const launch = await sandbox.launch(spec, {
      argv: ['no-such-thing'],
      env: {},
      workDir: 'work',
    });
    const [code] = await once(await startCommand(launch), 'exit');
    assert.equal(code, 127);
  });

  test('the limit of open files holds', async () => {
    const spec = await environment({ openFiles: 64 });
    assert.equal(await (await run(spec, 'ulimit -n')).printed(), '64\n');
  });

  test('the limit of memory holds', async (t) => {
    if (!sandbox.capabilities.limits.memoryBytes) return t.skip('it cannot limit memory here');
    const spec = await environment({ memoryBytes: 64 * 2 ** 20 });
    const { code } = await run(
      spec,
      `awk 'BEGIN { s = "x"; for (i = 0; i < 28; i += 1) s = s s; print length(s) }'`,
    );
    assert.notEqual(code, 0);
  });

  test('the limit of processes holds', async (t) => {
    if (!sandbox.capabilities.limits.processes) return t.skip('it cannot limit processes here');
    const spec = await environment({ processes: 20 });
    const script = 'for i in $(seq 60); do sleep 30 >/dev/null 2>&1 & done 2>/dev/null; true';
    const { code } = await run(spec, script);
    assert.ok((await living(`POMONA_WORKER=${spec.name}`)).length <= 20);
    assert.notEqual(code, null);
    await sandbox.killAll(spec);
  });

  test('processes that hide from their parent, ignore signals or are stopped are ended', async () => {
    const spec = await environment();
    await run(
      spec,
      `setsid sleep 300 >/dev/null 2>&1 &
       (trap '' TERM HUP INT; sleep 300 & wait) >/dev/null 2>&1 &
       (setsid sh -c 'kill -STOP $$; sleep 300' >/dev/null 2>&1 &)
       sleep 0.2`,
    );
    await sandbox.killAll(spec);
    assert.deepEqual(await living(`POMONA_WORKER=${spec.name}`), []);
  });

  test('what is destroyed is gone, and destroying again, or what never was, is no error', async () => {
    const spec = await environment({ processes: 100 });
    await run(spec, 'sleep 300 >/dev/null 2>&1 &');
    await sandbox.destroy(spec);
    await sandbox.destroy(spec);
    await sandbox.destroy({ ...spec, name: `${spec.name}-never` });
    assert.deepEqual(await living(`POMONA_WORKER=${spec.name}`), []);
    const groups = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '');
    assert.equal(groups.includes(spec.name), false);
    await assert.rejects(readFile(`/sys/fs/cgroup/pids/pomona/${spec.name}/cgroup.procs`));
  });

  if (driver.name === 'process') return;

  test('a job can read neither what only root may, nor another worker’s home', async () => {
    const [mine, other] = [await environment(), await environment()];
    const secret = join(base, `secret-${made}`);
    await writeFile(secret, 'x', { mode: 0o600 });
    await writeFile(join(other.homeDir, 'private'), 'x');
    const { printed } = await run(mine, `cat ${secret} ${other.homeDir}/private /etc/shadow`);
    const lines = (await printed()).trim().split('\n');
    assert.equal(lines.length, 3);
    for (const line of lines) assert.match(line, /Permission denied|No such file/);
  });

  test('files left in shared places go with the worker', async () => {
    const spec = await environment();
    const left = `left-${spec.name}`;
    await run(spec, `for d in /tmp /var/tmp /dev/shm; do echo x > $d/${left}; done; ipcmk -M 64`);
    await sandbox.destroy(spec);
    for (const dir of ['/tmp', '/var/tmp', '/dev/shm']) {
      await assert.rejects(readFile(join(dir, left)), { code: 'ENOENT' });
    }
    await rm(spec.homeDir, { recursive: true });
  });

  if (driver.name !== 'bubblewrap') return;

  test('a job sees no process but its own and cannot write to the system', async () => {
    const spec = await environment();
    const { printed } = await run(spec, 'ls -d /proc/[0-9]* | wc -l; touch /usr/x; touch /etc/x');
    const [processes, ...errors] = (await printed()).trim().split('\n');
    assert.ok(Number(processes) < 8);
    for (const line of errors) assert.match(line, /Read-only|Permission denied/);
    assert.equal(errors.length, 2);
  });
}
