/**
 * The demo: a controller and an agent with embedded defaults on this machine, and six jobs of real
 * work on them, two and more at a time: three well-known npm packages are fetched as published,
 * and their own tests are run, each job in a fresh worker. Everything it makes is removed at the end.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const pomona = resolve(fileURLToPath(new URL('../bin/pomona', import.meta.url)));

interface DemoJob {
  readonly title: string;
  readonly script: string;
}

/**
 * Fetches a package's published tarball through npm (from whatever registry npm is set up for),
 * installs what its tests need, runs them, and leaves the output as an artifact.
 */
function packageJob(name: string, version: string, test: string): DemoJob {
  return {
    title: `${name}@${version}: its own tests`,
    script: [
      'set -e',
      'mkdir out',
      `npm pack --silent ${name}@${version} >/dev/null`,
      'tar -xzf *.tgz',
      'cd package',
      test,
    ].join('\n'),
  };
}
