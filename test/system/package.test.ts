import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

describe('the packed program', () => {
  let dir = '';
  let program = '';

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'pomona-package-'));
    await run('npm', ['pack', '--ignore-scripts', '--pack-destination', dir], { cwd: ROOT });
    await run('npm', [
      ...['install', '--global', '--prefix', dir, '--no-audit', '--no-fund', '--ignore-scripts'],
      join(dir, 'pomona-0.1.0.tgz'),
    ]);
    program = join(dir, 'bin', 'pomona');
  });
  after(() => rm(dir, { recursive: true }));

  test('holds compiled JavaScript and no sources or tests', async () => {
    const { stdout } = await run('tar', ['-tzf', join(dir, 'pomona-0.1.0.tgz')]);
    const files = stdout.trim().split('\n');
    assert.ok(files.includes('package/dist/cli/main.js'));
    assert.deepEqual(
      files.filter((file) => /\.ts$|\.test\.|\/src\/|\/test\//.test(file)),
      [],
    );
  });

  test('runs as installed', async () => {
    const PATH = `${dirname(process.execPath)}:/usr/bin:/bin`;
    const { stdout } = await run(program, ['--version'], { env: { PATH } });
    assert.equal(stdout, '0.1.0\n');
    const doctor = await run(program, ['doctor', '--json'], { env: { PATH, HOME: dir } });
    assert.ok(JSON.parse(doctor.stdout).sandbox.length > 0);
  });

  test('says in one line that a Node is too old, and ends with 2', async () => {
    const old = join(dir, 'old');
    await mkdir(old);
    await writeFile(join(old, 'node'), '#!/bin/sh\necho v20.20.2\n');
    await chmod(join(old, 'node'), 0o755);
    const failed = run(program, ['--version'], { env: { PATH: `${old}:/usr/bin:/bin` } });
    await assert.rejects(failed, (error: unknown) => {
      const { code, stderr } = error as { code: number; stderr: string };
      assert.equal(code, 2);
      assert.match(stderr, /^pomona: Node\.js 24 or newer is needed; .*old\/node is v20\.20\.2\n$/);
      return true;
    });
  });
});
