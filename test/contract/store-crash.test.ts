import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Store } from '../../src/drivers/store/store.ts';
import { STORE_CASES, storePlace, titleOf, type StorePlace } from '../store-places.ts';

const DISK_MB = 512;
const SCENARIO = fileURLToPath(new URL('store-scenario.ts', import.meta.url));
/** Tools that stores start. */
const TOOLS = ['btrfs', 'mount', 'rsync', 'umount', 'zfs'];
/** What changes files without a tool. */
const CHANGES =
  'rename,renameat,renameat2,mkdir,mkdirat,rmdir,unlink,unlinkat,symlink,symlinkat,link,linkat';
/** Every second change, these or the others, and with `POMONA_TEST_ALL` every one. */
const STRIDE = process.env['POMONA_TEST_ALL'] === undefined ? 2 : 1;
const SEED = Number(process.env['POMONA_TEST_SEED'] ?? Date.now() % 1_000_000);
const TOOLED: ReadonlySet<string> = new Set(['btrfs', 'overlayfs', 'rsync', 'zfs']);

/** A run of the scenario; when it was killed in it, `ended` is false. */
interface Ran {
  readonly done: readonly string[];
  readonly ended: boolean;
}

for (const each of STORE_CASES) {
  describe(`store ${titleOf(each)}, killed`, () => {
    for (const [where, runs, reason] of [
      ['after each tool that it started', afterTools, ''],
      ['at each change that it makes to the file system', atChanges, straceMissing()],
    ] as const) {
      test(`${where}, is whole when it starts again`, async (context) => {
        if (reason !== '') return context.skip(reason);
        const place = storePlace(each, DISK_MB);
        if (typeof place === 'string') return context.skip(place);
        try {
          const points = await killEverywhere(place, runs(place));
          context.diagnostic(`killed at ${points} points; seed ${SEED}`);
          // Else the killing, not the store, does not work.
          assert(points >= (runs === atChanges || TOOLED.has(each.store) ? 3 : 0), `${points}`);
        } finally {
          place.remove();
        }
      });
    }
  });
}

async function killEverywhere(place: StorePlace, runs: AsyncIterable<Ran>): Promise<number> {
  let points = 0;
  let ended = false;
  for await (const ran of runs) {
    ended = ran.ended;
    if (!ended) points += 1;
    const store = place.driver.open(place.root);
    await store.recover();
    const when = `killed at ${points}, after: ${ran.done.at(-1) ?? 'nothing'}`;
    await assertWhole(store, ran.done, when);
    await assertClean(place, when);
    for (const name of await store.listClones()) await store.deleteClone(name);
    // What was made before the kill stays for the next run in turn, which has to live with it.
    if (points % 2 === 0 || ended) await removeAll(store, when);
  }
  assert(ended, 'the last run was not to be killed');
  return points;
}

async function assertWhole(store: Store, done: readonly string[], when: string): Promise<void> {
  const snapshots = await store.listSnapshots();
  const clones = await store.listClones();
  for (const id of snapshots) {
    assert(await store.hasSnapshot(id), `${id} is listed and not there, ${when}`);
    const content = await store.withSnapshot(id, contentOf);
    assert.deepEqual(content, WHOLE[id], `${id} is not whole, ${when}`);
  }
  if (done.includes('removing')) return;
  const there = (id: string) => assert(snapshots.includes(id), `${id} is gone, ${when}`);
  if (done.includes('one made')) there('result.one');
  if (done.includes('two made')) there('result.two');
  else if (done.includes('step made')) {
    assert(clones.includes('step') || snapshots.includes('result.two'), `step is gone, ${when}`);
  }
  if (done.includes('three made')) there('base-image.three');
}

const WHOLE: Readonly<Record<string, Record<string, string>>> = {
  'result.one': { a: 'one', b: 'one', c: 'one' },
  'result.two': { a: 'one', b: 'two', c: 'one' },
  'base-image.three': { home: '' },
};

async function contentOf(dir: string): Promise<Record<string, string>> {
  const content: Record<string, string> = {};
  for (const name of (await readdir(dir)).toSorted()) {
    const path = join(dir, name);
    content[name] =
      name === 'home' ? (await readdir(path)).join(' ') : await readFile(path, 'utf8');
  }
  return content;
}

/** Nothing is mounted but clones, and nothing half-made is left. */
async function assertClean({ driver, root }: StorePlace, when: string): Promise<void> {
  const dir = driver.dirOf(root);
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((target) => target.startsWith(`${dir}/`) && !target.startsWith(`${dir}/clones/`));
  assert.deepEqual(mounts, [], `something stays mounted, ${when}`);
  for (const owner of await readdir(join(dir, 'new'))) {
    const left = await readdir(join(dir, 'new', owner));
    assert.deepEqual(left, [], `something half-made is left, ${when}`);
  }
}

async function removeAll(store: Store, when: string): Promise<void> {
  for (const id of ['base-image.three', 'result.two', 'result.one']) await store.deleteSnapshot(id);
  assert.deepEqual(await store.listSnapshots(), [], `snapshots cannot be removed, ${when}`);
}

/** Each run has tools that do their work and then kill who started them, when it is their turn. */
async function* afterTools(place: StorePlace): AsyncGenerator<Ran> {
  const dir = await mkdtemp(join(tmpdir(), 'pomona-tools-'));
  const path = process.env['PATH'] ?? '';
  const env = { PATH: `${dir}:${path}`, REAL_PATH: path };
  try {
    for (let point = 1, ended = false; !ended; point += 1) {
      const count = join(dir, 'count');
      await writeFile(count, '0');
      for (const name of TOOLS) {
        const script = `#!/bin/sh
PATH="$REAL_PATH"; export PATH
${name} "$@"; code=$?
read -r before <'${count}'; echo $((before + 1)) >'${count}'
[ $((before + 1)) -lt ${point} ] || kill -9 $PPID
exit $code
`;
        await writeFile(join(dir, name), script);
        await chmod(join(dir, name), 0o755);
      }
      const ran = await scenario(place, [process.execPath, SCENARIO], env);
      ({ ended } = ran);
      yield ran;
    }
  } finally {
    await rm(dir, { recursive: true });
  }
}

/** With one thread for files, changes come one by one and can be exact: first all, then to each. */
async function* atChanges(place: StorePlace): AsyncGenerator<Ran> {
  const dir = await mkdtemp(join(tmpdir(), 'pomona-trace-'));
  const log = join(dir, 'log');
  const traced = (...options: string[]) =>
    scenario(
      place,
      [
        ...['strace', '-qq', '-o', log, '-e', `trace=${CHANGES}`, ...options],
        ...[process.execPath, SCENARIO],
      ],
      { UV_THREADPOOL_SIZE: '1' },
    );
  try {
    // The thread's own are exact, not those of tools, which are other processes.
    const whole = await traced('-f');
    const calls = new Map<string, number>();
    for (const [, name = ''] of (await readFile(log, 'utf8')).matchAll(/^\d+ +(\w+)\(/gm)) {
      calls.set(name, (calls.get(name) ?? 0) + 1);
    }
    for (const [name, count] of calls) {
      for (let point = 1 + (SEED % STRIDE); point <= count; point += STRIDE) {
        const ran = await traced('-f', '-e', `inject=${name}:signal=KILL:when=${point}`);
        // Of those exact some were the tools'.
        if (ran.ended) break;
        yield ran;
      }
    }
    yield whole;
  } finally {
    await rm(dir, { recursive: true });
  }
}

async function scenario(
  { driver, root }: StorePlace,
  [file = '', ...args]: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Ran> {
  const child = spawn(file, [...args, driver.name, root], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  const [output, problems] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ]);
  const done = output.split('\n').filter((line) => line !== '');
  const ended = done.includes('all done');
  // A tool that is killed makes the store throw, which has to leave things as whole.
  const killed = child.signalCode !== null || child.exitCode === 137;
  assert(ended || killed || problems.includes(' failed (exit code '), problems);
  return { done, ended };
}

function straceMissing(): string {
  try {
    execFileSync('strace', ['-qq', '-o', '/dev/null', 'true'], { stdio: 'ignore' });
    return '';
  } catch {
    return 'strace is not there, or may not be used here';
  }
}
