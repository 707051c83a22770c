import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { hostNameOf, NAME_GUEST } from './guest-name.ts';

/** Runs the script where programs of a guest stand for the system's; returns what it called. */
function called(t: TestContext, programs: Readonly<Record<string, string>>): string[] {
  const dir = mkdtempSync(join(tmpdir(), 'pomona-guest-name-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const log = join(dir, 'log');
  writeFileSync(log, '');
  for (const [name, body] of Object.entries(programs)) {
    writeFileSync(join(dir, name), `#!/bin/sh\n${body.replaceAll('LOG', `"${log}"`)}\n`, {
      mode: 0o755,
    });
  }
  const env = { PATH: `${dir}:/usr/bin:/bin` };
  spawnSync('sh', ['-c', NAME_GUEST, 'pomona', 'w-7'], { env });
  return readFileSync(log, 'utf8').split('\n').slice(0, -1);
}

const CALLS = { sudo: 'shift; exec "$@"', id: 'echo 501', hostname: 'echo image' };

test('a guest of macOS gets all its three names', (t) => {
  const calls = called(t, { ...CALLS, uname: 'echo Darwin', scutil: 'echo "$@" >> LOG' });
  assert.deepEqual(
    calls,
    ['HostName', 'LocalHostName', 'ComputerName'].map((what) => `--set ${what} w-7`),
  );
});

test('a guest of Linux gets its name, and one that has it is left alone', (t) => {
  const linux = { ...CALLS, uname: 'echo Linux', hostnamectl: 'echo "$@" >> LOG' };
  assert.deepEqual(called(t, linux), ['hostname w-7']);
  assert.deepEqual(called(t, { ...linux, hostname: 'echo w-7' }), []);
});

test('what host names may not have is left out, and the end is kept', () => {
  assert.equal(hostNameOf('pomona-f1_2-w-7'), 'pomona-f1-2-w-7');
  assert.equal(hostNameOf(`${'a'.repeat(80)}-w-7`).length, 63);
  assert.match(hostNameOf(`${'a'.repeat(80)}-w-7`), /a-w-7$/);
});
