import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Launch } from '../../drivers/sandbox/sandbox.ts';
import { startTerminal } from './terminal.ts';

const SIZE = { id: 'c-1', cols: 81, lines: 25 };

async function directory(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'pomona-terminal-'));
  t.after(() => rm(dir, { recursive: true }));
  return dir;
}

function launching(args: readonly string[], more: Partial<Launch> = {}): Launch {
  return { file: '/bin/sh', args, env: { PATH: process.env['PATH'] ?? '' }, cwd: '/', ...more };
}

test('a command begins once it is admitted, reads what it is handed, and has a terminal', async (t) => {
  const dir = await directory(t);
  const admitted: number[] = [];
  const script = 'read -r _ <&3; cat <&3; stty size; exit 4';
  const launch = launching(['-c', script], {
    admit: async (pid) => void admitted.push(pid),
    handed: 'given\n',
  });
  const terminal = await startTerminal(launch, dir, SIZE);
  let said = '';
  terminal.onData((data) => (said += data.toString('utf8')));
  const reason = await new Promise<string>((resolve) => terminal.onEnd(resolve));
  assert.match(reason, /ended with 4/);
  assert.equal(admitted.length, 1);
  assert.match(said, /given\r\n25 81\r\n/);
  assert.deepEqual(await readdir(dir), [], 'nothing of the pipe stays');
});

test('a command that ends before it is admitted is told, and nothing waits for it', async (t) => {
  const dir = await directory(t);
  const launch = launching(['-c', 'true'], { admit: async () => undefined, cwd: '/nowhere' });
  await assert.rejects(startTerminal(launch, dir, SIZE), /ended at once/);
  assert.deepEqual(await readdir(dir), []);
});
