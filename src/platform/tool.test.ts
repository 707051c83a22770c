import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { mustRun, tool } from './tool.ts';

const sh = (script: string, options: Parameters<typeof tool>[2] = {}) =>
  tool('/bin/sh', ['-c', script], options);

test('a tool’s output, its end and what it says of it are given', async () => {
  assert.deepEqual(await sh('echo out; echo why >&2; exit 3'), {
    code: 3,
    stdout: 'out\n',
    why: 'why',
  });
  assert.equal((await sh('pwd; echo $MORE', { cwd: '/', env: { MORE: 'x' } })).stdout, '/\nx\n');
});

test('a tool that hangs is ended and said to have hung', async () => {
  const { code, why } = await sh('exec sleep 60', { timeoutMs: 100 });
  assert.deepEqual([code, why], [undefined, '/bin/sh did not end in 0.1 s']);
});

test('a tool that is stopped is waited for', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'pomona-tool-'));
  t.after(() => rm(dir, { recursive: true }));
  const stop = new AbortController();
  const ending = sh(
    'trap "echo ended; exit 9" TERM; echo begun; : >ready; while :; do sleep 0.05; done',
    { signal: stop.signal, cwd: dir },
  );
  while (!existsSync(join(dir, 'ready'))) await new Promise(setImmediate);
  stop.abort();
  assert.deepEqual(await ending.then(({ code, stdout }) => [code, stdout]), [9, 'begun\nended\n']);
});

test('a tool that must succeed and does not says why, and not for ever', async () => {
  const complaint = mustRun('/bin/sh', ['-c', 'yes no | head -c 50000 >&2; exit 1']);
  await assert.rejects(complaint, (error: Error) => {
    assert.match(error.message, /failed \(exit code 1\): no\nno/);
    return error.message.length < 1200;
  });
  await assert.rejects(tool('/no/such/tool', []), { code: 'ENOENT' });
});
