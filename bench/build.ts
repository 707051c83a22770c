/**
 * Claims: what a step costs beside its command, what a fully cached build costs, an unchanged copy,
 * a clone; and the same steps over the same base with `buildah bud` (Debian: buildah), in the same
 * run. Linux, root, 3 GB of disk. Takes about five minutes; see docs/guides/performance.md.
 *
 *   node bench/build.ts [store]...      (default: all)
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { printTable } from '../src/cli/output.ts';
import { STORE_DRIVERS } from '../src/drivers/store/drivers.ts';
import { limiter } from '../src/platform/limiter.ts';
import { BuilderFixture } from '../test/builder-fixture.ts';
import { STORE_CASES, storePlace } from '../test/store-places.ts';
import { machine, median, memoryMiB } from './support/measure.ts';

const POMONA = fileURLToPath(new URL('../bin/pomona', import.meta.url));
const STEPS = 20;
const FILES = 50_000;
const TIMES = 3;
const DISK_MB = 3072;

const DEFAULT_STORES = [...new Set(STORE_CASES.map(({ store }) => store))];

const commands = (count: number, tag: string) =>
  Array.from({ length: count }, (_, index) => `(run (shell "true ${tag} ${index}"))`).join('\n');
const specOf = (count: number, tag: string) =>
  `((from ./base)\n (shell /bin/sh -c)\n${commands(count, tag)})`;

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

async function medianOf(work: () => Promise<unknown>): Promise<number> {
  const all: number[] = [];
  while (all.length < TIMES) all.push(await timed(work));
  return median(all);
}

const ms = (value: number) => value.toFixed(value < 10 ? 1 : 0);

function makeFiles(dir: string, count: number): void {
  for (let index = 0; index < count; index += 1) {
    const below = join(dir, `d${index % 250}`);
    if (index < 250) mkdirSync(below, { recursive: true });
    writeFileSync(join(below, `f${index}`), `content of ${index}\n`);
  }
}

/** Looks at every file with as many looks at once as help. */
async function statWalk(dir: string): Promise<void> {
  const limit = limiter(64);
  const visit = async (at: string): Promise<void> => {
    const entries = await limit(() => readdir(at, { withFileTypes: true }));
    await Promise.all(
      entries.map((entry) =>
        entry.isDirectory()
          ? visit(join(at, entry.name))
          : limit(() => lstat(join(at, entry.name))),
      ),
    );
  };
  await visit(dir);
}

async function benchStore(name: string): Promise<string[]> {
  // The first of its cases: each store once.
  const which = STORE_CASES.find(({ store }) => store === name);
  if (which === undefined) throw new Error(`there is no store ${name}`);
  const place = storePlace(which, DISK_MB);
  if (typeof place === 'string') throw new Error(place);
  const fixture = new BuilderFixture({ store: name, storeRoot: place.root });
  try {
    const builder = await fixture.builder();
    const build = (spec: string) =>
      fixture.build(builder, spec.replace('./base', 'base')).then(({ outcome }) => {
        if (outcome.outcome !== 'succeeded') throw new Error(`a build ${outcome.outcome}`);
      });
    await build('((from base))');
    let round = 0;
    const uncached = (await medianOf(() => build(specOf(STEPS, `u${round++}`)))) / STEPS;
    await build(specOf(STEPS, 'c'));
    const cached = await medianOf(() => build(specOf(STEPS, 'c')));
    const cold = await coldBuild(fixture, name);
    makeFiles(fixture.context, FILES);
    const copy = '((from base) (copy (src .) (dst /files/)))';
    const first = await timed(() => build(copy));
    const unchanged = await medianOf(() => build(copy));
    const walk = await medianOf(() => statWalk(fixture.context));
    const store = STORE_DRIVERS[name]?.open(fixture.storeRoot);
    const tree = (await store?.listSnapshots())?.find((id) => id.startsWith('result.')) ?? '';
    const withFiles = builder.index.results().find(({ heading }) => heading.startsWith('copy'));
    const id = withFiles === undefined ? tree : `result.${withFiles.id}`;
    const clone = await medianOf(async () => void (await store?.clone(id, 'bench')));
    const remove = await timed(async () => store?.deleteClone('bench'));
    const parallel = await timed(() =>
      Promise.all(
        Array.from({ length: 8 }, (_, index) =>
          build(`${specOf(STEPS, 'p').slice(0, -1)} (run (shell "true ${index}")))`),
        ),
      ),
    );
    const { peak } = await memoryMiB(process.pid);
    return [
      ...[name, ms(uncached), ms(cached), ms(cold), ms(first), ms(unchanged)],
      ...[(unchanged / walk).toFixed(2), ms(clone), ms(remove), ms(parallel), ms(peak)],
    ];
  } finally {
    await fixture.remove();
    place.remove();
  }
}

/** The whole program, from its start to its end, with nothing to be made. */
async function coldBuild(fixture: BuilderFixture, store: string): Promise<number> {
  const file = join(fixture.dir, 'cold.spec');
  writeFileSync(file, specOf(STEPS, 'cold'));
  const args = ['build', file, '--store', `${store}:${fixture.storeRoot}`];
  const run = async () => void execFileSync(POMONA, args, { stdio: 'pipe' });
  await run();
  return medianOf(run);
}

/** Milliseconds per step, and of a fully cached rebuild, by `buildah bud --layers`. */
async function benchBuildah(): Promise<{ step: number; cached: number } | string> {
  if (spawnSync('buildah', ['--version']).error !== undefined) {
    return 'buildah is not installed (Debian: buildah)';
  }
  const fixture = new BuilderFixture();
  const dir = mkdtempSync(join(tmpdir(), 'pomona-buildah-'));
  chmodSync(dir, 0o711);
  const where = ['--root', join(dir, 'root'), '--runroot', join(dir, 'run')];
  const buildah = (...args: string[]) =>
    execFileSync('buildah', [...where, '--storage-driver', 'overlay', ...args], {
      ...{ cwd: dir, stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' },
    }).trim();
  try {
    const container = buildah('from', 'scratch');
    buildah('copy', '-q', container, join(fixture.dir, 'base'));
    buildah('commit', '-q', container, 'base');
    const bud = (tag: string) => async () => {
      const steps = Array.from({ length: STEPS }, (_, index) => `RUN true ${tag} ${index}`);
      writeFileSync(join(dir, 'Dockerfile'), ['FROM localhost/base', ...steps].join('\n'));
      buildah('bud', '-q', '--layers', '--isolation', 'chroot', '--network', 'host', '.');
    };
    const first = await timed(bud('a'));
    const second = await timed(bud('b'));
    return { step: median([first, second]) / STEPS, cached: await medianOf(bud('b')) };
  } finally {
    spawnSync('buildah', [...where, '--storage-driver', 'overlay', 'rm', '--all']);
    spawnSync('umount', ['-l', join(dir, 'root/overlay')]);
    execFileSync('rm', ['-rf', dir]);
    await fixture.remove();
  }
}

/** Rows as of results long made, of which the store knows nothing: only the index grows. */
function fillIndex(path: string, count: number): void {
  const db = new DatabaseSync(path);
  db.exec('BEGIN');
  const insert = db.prepare(
    `INSERT INTO results VALUES (?, 'ready', NULL, NULL, 'run x', NULL, NULL, 1, 1, 1, 'b', 1)`,
  );
  for (let index = 0; index < count; index += 1) insert.run(`filled-${index}`);
  db.exec('COMMIT');
  db.close();
}

/** A fully cached build of so many steps, and of 20 with so many results in the store. */
async function growth(): Promise<string[][]> {
  const rows: string[][] = [];
  for (const steps of [10, 100, 1_000]) {
    const fixture = new BuilderFixture();
    const builder = await fixture.builder();
    const build = () => fixture.build(builder, specOf(steps, 'g').replace('./base', 'base'));
    const made = await timed(build);
    rows.push([`${steps} steps`, ms(made / steps), ms(await medianOf(build))]);
    await fixture.remove();
  }
  for (const results of [1_000, 100_000, 1_000_000]) {
    const fixture = new BuilderFixture();
    const builder = await fixture.builder();
    const build = () => fixture.build(builder, specOf(STEPS, 'g').replace('./base', 'base'));
    fillIndex(join(fixture.storeRoot, 'state/index.db'), results);
    const made = await timed(build);
    rows.push([`${STEPS} steps, ${results} results`, ms(made / STEPS), ms(await medianOf(build))]);
    await fixture.remove();
  }
  return rows;
}

console.log(`${new Date().toISOString()}: ${machine()}\n`);
const stores = process.argv.slice(2);
const rows: string[][] = [];
for (const store of stores.length === 0 ? DEFAULT_STORES : stores) {
  rows.push(await benchStore(store));
}
printTable(
  [
    ...['MILLISECONDS', 'A STEP', '20 CACHED', 'COLD CLI', 'COPY 50K', 'UNCHANGED', 'X WALK'],
    ...['CLONE 50K', 'DELETE', '8 AT ONCE', 'PEAK MIB'],
  ],
  rows,
);
const peer = await benchBuildah();
if (typeof peer === 'string') console.log(`\nbuildah: ${peer}`);
else {
  console.log(`\nbuildah: ${ms(peer.step)} a step, ${ms(peer.cached)} for ${STEPS} cached steps`);
  for (const [store, step] of rows) {
    console.log(`${store}: a step costs ${(Number(step) / peer.step).toFixed(2)} of buildah's`);
  }
}
console.log();
if (stores.length === 0) printTable(['MILLISECONDS', 'A STEP', 'ALL CACHED'], await growth());
console.log(`\nat the end: ${machine()}`);
