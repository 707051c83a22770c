import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { SANDBOX_DRIVERS } from '../drivers/sandbox/drivers.ts';
import type { SandboxSpec } from '../drivers/sandbox/sandbox.ts';
import { findProcesses } from '../platform/process-table.ts';
import { removeTree } from '../platform/tree.ts';
import { runStep, type StepEnd, type StepRequest } from './execute.ts';

const driver = SANDBOX_DRIVERS['process'];
assert.ok(driver !== undefined);
const sandbox = await driver.open();
const base = await mkdtemp(join(tmpdir(), 'pomona-execute-'));
await chmod(base, 0o711);
after(() => removeTree(base));
const never = new AbortController().signal;
let made = 0;

async function described(): Promise<SandboxSpec> {
  made += 1;
  const dir = join(base, String(made));
  const homeDir = join(dir, 'home');
  const prefixDir = join(dir, 'prefix');
  for (const each of [homeDir, prefixDir]) await mkdir(each, { recursive: true });
  return {
    name: `pomona-test-execute-${process.pid}-${made}`,
    files: { kind: 'home', homeDir, prefixDir, prefixPath: '/usr/local' },
    tmpDir: join(dir, 'tmp'),
    mounts: [],
    network: 'host',
    user: undefined,
    limits: {},
  };
}

async function step(
  script: string,
  options: Partial<StepRequest> = {},
  signal: AbortSignal = never,
): Promise<{ end: StepEnd; printed: string; spec: SandboxSpec }> {
  const spec = await described();
  const chunks: Buffer[] = [];
  const end = await runStep(
    sandbox,
    {
      spec,
      argv: ['sh', '-c', script],
      env: {},
      workDir: '.',
      onOutput: (chunk) => void chunks.push(chunk),
      ...options,
    },
    signal,
  );
  return { end, printed: Buffer.concat(chunks).toString(), spec };
}

async function assertNothingRuns(spec: SandboxSpec): Promise<void> {
  assert.deepEqual(await findProcesses({ environment: `POMONA_WORKER=${spec.name}` }), []);
  assert.equal(existsSync(`/sys/fs/cgroup/pids/pomona/${spec.name}`), false);
}

test('a command’s output and exit code are given, with what it printed last', async () => {
  const { end, printed, spec } = await step('echo one; echo two >&2; printf three; exit 4');
  assert.deepEqual([end, printed], [{ exitCode: 4 }, 'one\ntwo\nthree']);
  await assertNothingRuns(spec);
});

test('a command that a signal ends says which', async () => {
  assert.deepEqual((await step('kill -KILL $$')).end, { signal: 'SIGKILL' });
});

test('a cancel before the start runs nothing', async () => {
  const { end, printed } = await step('echo ran', {}, AbortSignal.abort());
  assert.deepEqual([end, printed], [{ cancelled: true }, '']);
});

test('a cancel asks first, and what the command says to it is still heard', async () => {
  const cancel = new AbortController();
  const heard: string[] = [];
  const { end, spec } = await step(
    `trap 'echo tidied; exit 0' TERM; echo started; while :; do sleep 0.05; done`,
    {
      onOutput: (chunk) => {
        heard.push(chunk.toString());
        cancel.abort();
      },
    },
    cancel.signal,
  );
  assert.deepEqual(end, { cancelled: true });
  assert.match(heard.join(''), /^started\n.*tidied\n$/s);
  await assertNothingRuns(spec);
});

test('what ignores the request is killed, with all it started', async () => {
  const cancel = new AbortController();
  const began = performance.now();
  const { end, spec } = await step(
    `trap '' TERM; setsid sleep 400 & echo started; while :; do sleep 1; done`,
    { onOutput: () => cancel.abort(), graceMs: 200 },
    cancel.signal,
  );
  assert.deepEqual(end, { cancelled: true });
  assert.ok(performance.now() - began < 5_000);
  await assertNothingRuns(spec);
});

test('a command that takes longer than it may has timed out', async () => {
  const { end, spec } = await step('echo started; sleep 400', { timeoutMs: 200 });
  assert.deepEqual(end, { timedOut: true });
  await assertNothingRuns(spec);
});

test('a command that ends while a daemon of it holds the output does not wait for it', async () => {
  const { end, printed, spec } = await step('setsid sleep 400 & echo done');
  assert.deepEqual([end, printed], [{ exitCode: 0 }, 'done\n']);
  await assertNothingRuns(spec);
});

test('a reader that throws ends the command, and its error comes out after the end', async () => {
  const spec = await described();
  const onOutput = () => Promise.reject(new Error('disk full'));
  const argv = ['sh', '-c', 'while :; do echo x; done'];
  const request = { spec, argv, env: {}, workDir: '.', onOutput };
  await assert.rejects(runStep(sandbox, request, never), /disk full/);
  await assertNothingRuns(spec);
});

test('output without newlines waits for its reader and never grows memory', async () => {
  const megabytes = 200;
  let bytes = 0;
  let most = 0;
  global.gc?.();
  const before = process.memoryUsage().rss;
  const { end } = await step(`head -c ${megabytes * 2 ** 20} /dev/zero`, {
    onOutput: async (chunk) => {
      bytes += chunk.length;
      most = Math.max(most, process.memoryUsage().rss);
      if (bytes % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
    },
  });
  assert.deepEqual([end, bytes], [{ exitCode: 0 }, megabytes * 2 ** 20]);
  assert.ok(most - before < 100 * 2 ** 20, `it grew by ${(most - before) / 2 ** 20} MiB`);
});

test('endless output stops at the time-out, read by a reader that is slower', async () => {
  let bytes = 0;
  let inFlight = 0;
  const { end, spec } = await step('exec cat /dev/zero', {
    timeoutMs: 500,
    onOutput: async (chunk) => {
      inFlight += 1;
      assert.equal(inFlight, 1);
      bytes += chunk.length;
      await new Promise((resolve) => setTimeout(resolve, 20));
      inFlight -= 1;
    },
  });
  assert.deepEqual(end, { timedOut: true });
  assert.ok(bytes > 0 && bytes < 16 * 2 ** 20, `${bytes} bytes were read`);
  await assertNothingRuns(spec);
});

test('a sandbox that cannot be prepared leaves nothing and says why', async () => {
  const spec: SandboxSpec = { ...(await described()), network: 'none' };
  const request = { spec, argv: ['true'], env: {}, workDir: '.', onOutput: () => undefined };
  await assert.rejects(runStep(sandbox, request, never), { code: 'unsupported' });
  await assertNothingRuns(spec);
});
