import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Launch } from '../../drivers/sandbox/sandbox.ts';
import { findProcesses, processIdentity } from '../../platform/process-table.ts';
import { startTerminal, type Terminal } from './terminal.ts';

const LIMIT = { timeout: 60_000 };
const SIZE = { id: 'c-1', cols: 81, lines: 25 };

async function directory(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'pomona-terminal-'));
  t.after(() => rm(dir, { recursive: true }));
  return dir;
}

function launching(args: readonly string[], more: Partial<Launch> = {}): Launch {
  return { file: '/bin/sh', args, env: { PATH: process.env['PATH'] ?? '' }, cwd: '/', ...more };
}

/** All that a terminal says, and how it ends. */
async function hear(terminal: Terminal): Promise<{ said: string; reason: string }> {
  let said = '';
  terminal.onData((data) => (said += data.toString('utf8')));
  const reason = await new Promise<string>((resolve) => terminal.onEnd(resolve));
  return { said, reason };
}

test(
  'a command begins once it is admitted, reads what it is handed, and has a terminal',
  LIMIT,
  async (t) => {
    const dir = await directory(t);
    const admitted: number[] = [];
    const script = 'read -r _ <&3; cat <&3; stty size; exit 4';
    const launch = launching(['-c', script], {
      admit: async (pid) => void admitted.push(pid),
      handed: 'given\n',
    });
    const { said, reason } = await hear(await startTerminal(launch, dir, SIZE));
    assert.match(reason, /ended with 4/);
    assert.equal(admitted.length, 1);
    assert.match(said, /given\r\n25 81\r\n/);
    assert.deepEqual(await readdir(dir), [], 'nothing of the pipe stays');
  },
);

test('what a command says and how it ends is heard, however soon that is', LIMIT, async (t) => {
  const dir = await directory(t);
  const launch = launching(['-c', 'echo no; exit 4'], { admit: () => sleep(300), handed: 'late' });
  const { said, reason } = await hear(await startTerminal(launch, dir, SIZE));
  assert.match(reason, /ended with 4/);
  assert.equal(said, 'no\r\n');
});

test(
  'a command that ends before it is admitted is told, and nothing waits for it',
  LIMIT,
  async (t) => {
    const dir = await directory(t);
    const launch = launching(['-c', 'true'], { admit: async () => undefined, cwd: '/nowhere' });
    const { reason } = await hear(await startTerminal(launch, dir, SIZE));
    assert.match(reason, /ended with [1-9]/);
    assert.deepEqual(await readdir(dir), []);
  },
);

test('a command that cannot be admitted ends', LIMIT, async (t) => {
  const dir = await directory(t);
  let shell = 0;
  const launch = launching(['-c', 'sleep 600'], {
    admit: async (pid) => {
      shell = pid;
      throw new Error('no place');
    },
  });
  await assert.rejects(startTerminal(launch, dir, SIZE), /no place/);
  while ((await processIdentity(shell)) !== undefined) await sleep(10);
});

const NEEDS_PROC = process.platform === 'linux' ? false : 'looks at descriptors in /proc';
test(
  'nothing that is started later holds the terminal',
  { ...LIMIT, skip: NEEDS_PROC },
  async (t) => {
    const terminal = await startTerminal(launching(['-c', 'cat']), await directory(t), SIZE);
    t.after(() => terminal.end());
    const open = await promisify(execFile)('/bin/sh', ['-c', 'ls -l /proc/self/fd']);
    assert.doesNotMatch(open.stdout, /ptmx|pts/);
  },
);

test('what is told to a terminal that has just ended harms nobody', LIMIT, async (t) => {
  const terminal = await startTerminal(launching(['-c', 'sleep 0.05']), await directory(t), SIZE);
  const ended = hear(terminal);
  const telling = setInterval(() => {
    terminal.resize(99, 44);
    terminal.write(Buffer.from('x'));
  }, 1);
  const { reason } = await ended;
  await sleep(50);
  clearInterval(telling);
  terminal.end();
  assert.match(reason, /ended with 0/);
});

test('all that runs in a terminal ends with whoever started it', LIMIT, async (t) => {
  const dir = await directory(t);
  const program = `
    import { startTerminal } from ${JSON.stringify(new URL('terminal.ts', import.meta.url).href)};
    const terminal = await startTerminal(${JSON.stringify({
      ...{ file: '/bin/bash', args: ['-i'], env: { PATH: process.env['PATH'] }, cwd: '/' },
    })}, ${JSON.stringify(dir)}, ${JSON.stringify(SIZE)});
    terminal.write(Buffer.from('sleep 61234 & sleep 61234\\n'));
    terminal.onData((data) => process.stdout.write(data));
  `;
  const starter = spawn(process.execPath, ['--input-type=module', '-e', program]);
  t.after(() => starter.kill('SIGKILL'));
  const sleeping = () => findProcesses({ argument: '61234' });
  while ((await sleeping()).length < 2) await sleep(20);
  starter.kill('SIGKILL');
  while ((await sleeping()).length > 0) await sleep(20);
});
