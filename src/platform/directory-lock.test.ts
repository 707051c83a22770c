import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { DirectoryInUseError, lockDirectory } from './directory-lock.ts';

test('a second process is refused and told who holds the directory, until the first dies', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'pomona-lock-'));
  const module = new URL('./directory-lock.ts', import.meta.url).href;
  const holder = spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `const { lockDirectory } = await import(${JSON.stringify(module)});
       await lockDirectory(${JSON.stringify(directory)}, 'pomona up');
       process.stdout.write('held'); setInterval(() => {}, 1000);`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  await once(holder.stdout, 'data');
  await assert.rejects(lockDirectory(directory, 'pomona up'), (error: unknown) => {
    assert.ok(error instanceof DirectoryInUseError);
    assert.match(
      error.message,
      new RegExp(`process ${holder.pid} \\(pomona up\\), since 20\\d\\d-`),
    );
    return true;
  });
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  const lock = await lockDirectory(directory, 'pomona up');
  lock.release();
  await rm(directory, { recursive: true });
});
