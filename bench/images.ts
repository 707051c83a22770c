/**
 * Claim: images move faster, and in fewer bytes, than by the ways that are used today. One sparse
 * disk with a file system of real files, and a second version with files added, removed and moved
 * inside: first push, second push, pull, pull of the second version where the first is. Pomona
 * beside zip (as MARBLE has it), zstd of the whole file, casync and restic, all to a plain
 * directory, in one run on one machine. Prints wall and processor seconds, peak memory, the bytes
 * and objects stored, and ratios.
 *
 *   node bench/images.ts [--gib 8] [--files 3] [--dir DIR] [--only pomona,zstd,zip,casync,restic]
 *
 * Needs root (to mount the disk), e2fsprogs and GNU time; the other tools are left out where they
 * are not installed. DIR should be where images would be: sharing blocks needs XFS or Btrfs.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { cpus, loadavg, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { printTable } from '../src/cli/output.ts';

const POMONA = fileURLToPath(new URL('../bin/pomona', import.meta.url));
const MIB = 2 ** 20;

interface Disks {
  readonly dir: string;
  readonly first: string;
  readonly second: string;
}

interface Measured {
  readonly wall: number;
  readonly cpu: number;
  readonly peakMib: number;
}

interface Outcome {
  readonly tool: string;
  readonly steps: Readonly<Record<Step, Measured | undefined>>;
  readonly storedMib: readonly [first: number, second: number];
  readonly objects: number;
}

const STEPS = ['push 1', 'push 2', 'pull 1', 'pull 2 over 1'] as const;
type Step = (typeof STEPS)[number];

/** One way to move disks: a shell script a step, with $FIRST, $SECOND, $STORE and $OUT. */
interface Tool {
  readonly name: string;
  readonly needs: string;
  /** Not measured. */
  readonly prepare?: string;
  readonly scripts: Readonly<Record<Step, string | undefined>>;
  /** Where the pulled disks are, below $OUT. */
  readonly pulled: readonly [string, string];
}

const TOOLS: readonly Tool[] = [
  {
    name: 'pomona',
    needs: POMONA,
    // As on a host that made the image: it is in the store of this machine.
    // The keys of test suites among the files are allowed; the search for secrets is measured.
    prepare: `for n in 1 2; do
      [ $n = 1 ] && disk=$FIRST || disk=$SECOND
      $POMONA image import d:$n $disk --data $OUT/here
      $POMONA image push d:$n file://$OUT/scratch --data $OUT/here --json | grep -o '"id": "[^"]*"' | cut -d'"' -f4 >> $OUT/allowed
    done >&2
    rm -rf $OUT/scratch $OUT/here/agent/images/content/*/secrets.json`,
    scripts: {
      'push 1': '$POMONA image push d:1 file://$STORE --data $OUT/here --allow @$OUT/allowed',
      'push 2': '$POMONA image push d:2 file://$STORE --data $OUT/here --allow @$OUT/allowed',
      'pull 1': '$POMONA image pull d:1 file://$STORE --data $OUT/there',
      'pull 2 over 1': '$POMONA image pull d:2 file://$STORE --data $OUT/there',
    },
    pulled: ['there', 'there'],
  },
  {
    name: 'zstd -T0 -1',
    needs: 'zstd',
    scripts: {
      'push 1': 'zstd -q -T0 -1 $FIRST -o $STORE/1.zst && sync $STORE/1.zst',
      'push 2': 'zstd -q -T0 -1 $SECOND -o $STORE/2.zst && sync $STORE/2.zst',
      'pull 1': 'zstd -q -d --sparse $STORE/1.zst -o $OUT/1 && sync $OUT/1',
      'pull 2 over 1': 'zstd -q -d --sparse $STORE/2.zst -o $OUT/2 && sync $OUT/2',
    },
    pulled: ['1', '2'],
  },
  {
    name: 'zip',
    needs: 'zip',
    scripts: {
      'push 1': 'zip -q -j $STORE/1.zip $FIRST && sync $STORE/1.zip',
      'push 2': 'zip -q -j $STORE/2.zip $SECOND && sync $STORE/2.zip',
      'pull 1': 'unzip -q -p $STORE/1.zip > $OUT/1 && sync $OUT/1',
      'pull 2 over 1': undefined,
    },
    pulled: ['1', '2'],
  },
  {
    name: 'casync',
    needs: 'casync',
    scripts: {
      'push 1': 'casync make --store=$STORE/c.castr $STORE/1.caibx $FIRST >&2',
      'push 2': 'casync make --store=$STORE/c.castr $STORE/2.caibx $SECOND >&2',
      'pull 1': 'casync extract --store=$STORE/c.castr $STORE/1.caibx $OUT/1 && sync $OUT/1',
      'pull 2 over 1':
        'casync extract --store=$STORE/c.castr --seed=$OUT/1 $STORE/2.caibx $OUT/2 && sync $OUT/2',
    },
    pulled: ['1', '2'],
  },
  {
    name: 'restic',
    needs: 'restic',
    prepare: 'restic -q init -r $STORE/r; mkdir $OUT/in; ln $FIRST $OUT/in/disk',
    scripts: {
      'push 1': 'cd $OUT/in && restic -q backup -r $STORE/r --tag 1 disk',
      'push 2': 'cd $OUT/in && ln -f $SECOND disk && restic -q backup -r $STORE/r --tag 2 disk',
      'pull 1': 'restic -q restore -r $STORE/r --tag 1 latest --target $OUT/1 && sync $OUT/1/disk',
      'pull 2 over 1':
        'restic -q restore -r $STORE/r --tag 2 latest --target $OUT/2 && sync $OUT/2/disk',
    },
    pulled: ['1/disk', '2/disk'],
  },
];

const { values } = parseArgs({
  options: {
    gib: { type: 'string', default: '8' },
    files: { type: 'string', default: '3' },
    dir: { type: 'string', default: tmpdir() },
    only: { type: 'string' },
  },
});

/** Files that the second version has and the first has not. */
const ADDED_MIB = 60;

/** Two disks: one of `gib` GiB with up to `filesGib` of this machine's files, and one changed. */
async function makeDisks(dir: string, gib: number, filesGib: number): Promise<Disks> {
  const [first, second, mount] = [join(dir, 'v1.img'), join(dir, 'v2.img'), join(dir, 'mnt')];
  await mkdir(mount);
  sh(`truncate -s ${gib}G ${first} && mkfs.ext4 -q -F ${first} && mount -o loop ${first} ${mount}`);
  let taken = 0;
  for (const source of ['/usr/bin', '/usr/share', '/usr/lib', '/opt', '/usr/local']) {
    taken += await takeFiles(
      source,
      join(mount, source.replaceAll('/', '_')),
      filesGib * 1024 * MIB - taken,
    );
  }
  sh(
    `umount ${mount} && cp --sparse=always ${first} ${second} && mount -o loop ${second} ${mount}`,
  );
  await rm(join(mount, '_usr_share/doc'), { recursive: true, force: true });
  await cp('/etc', join(mount, 'etc'), { recursive: true, force: true, filter: isPlain });
  const modules = fileURLToPath(new URL('../node_modules', import.meta.url));
  await takeFiles(modules, join(mount, 'added'), ADDED_MIB * MIB);
  if (existsSync(join(mount, '_usr_share/locale'))) {
    await rename(join(mount, '_usr_share/locale'), join(mount, 'moved'));
  }
  sh(`umount ${mount}`);
  return { dir, first, second };
}

/** Copies entries of a directory until so many bytes are taken; returns how many were. */
async function takeFiles(from: string, to: string, most: number): Promise<number> {
  if (!existsSync(from)) return 0;
  await mkdir(to, { recursive: true });
  let taken = 0;
  for (const name of (await readdir(from)).toSorted()) {
    const bytes = Number(sh(`du -sb -- '${join(from, name)}' 2>/dev/null | cut -f1`)) || 0;
    if (taken + bytes > most) continue;
    sh(`cp -a -- '${join(from, name)}' '${to}/' 2>/dev/null || true`);
    taken += bytes;
  }
  return taken;
}

async function isPlain(path: string): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined);
  return stats !== undefined && (stats.isFile() || stats.isDirectory());
}

async function tryTool(tool: Tool, disks: Disks): Promise<Outcome> {
  const base = await mkdtemp(join(disks.dir, 'try-'));
  const [store, out] = [join(base, 'store'), join(base, 'out')];
  await mkdir(store);
  await mkdir(out);
  const env = {
    ...process.env,
    ...{ FIRST: disks.first, SECOND: disks.second, STORE: store, OUT: out, POMONA },
    ...{ RESTIC_PASSWORD: 'bench', RESTIC_CACHE_DIR: join(base, 'cache') },
  };
  if (tool.prepare !== undefined)
    execFileSync('sh', ['-c', tool.prepare], { env, stdio: 'ignore' });
  const stored: number[] = [];
  const steps = {} as Record<Step, Measured | undefined>;
  for (const step of STEPS) {
    const script = tool.scripts[step];
    steps[step] = script === undefined ? undefined : measure(script, env);
    if (step.startsWith('push')) stored.push(mibOf(store));
  }
  await compare(tool, disks, out);
  const objects = Number(sh(`find ${store} -type f | wc -l`));
  await rm(base, { recursive: true });
  const [one = 0, two = 0] = stored;
  return { tool: tool.name, steps, storedMib: [one, two - one], objects };
}

function measure(script: string, env: NodeJS.ProcessEnv): Measured {
  const { status, stderr } = spawnSync(
    '/usr/bin/time',
    ['-f', '@ %e %U %S %M', 'sh', '-c', script],
    {
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
      encoding: 'utf8',
    },
  );
  const [, wall, user, system, peak] = /@ (\S+) (\S+) (\S+) (\d+)\s*$/.exec(stderr) ?? [];
  if (status !== 0) throw new Error(`${script}: ${stderr.slice(-500)}`);
  return {
    wall: Number(wall),
    cpu: Number(user) + Number(system),
    peakMib: Math.round(Number(peak) / 1024),
  };
}

/** What came back must be what was sent, or the figures say nothing. */
async function compare(tool: Tool, disks: Disks, out: string): Promise<void> {
  const wanted = [disks.first, disks.second];
  for (const [index, place] of tool.pulled.entries()) {
    const path =
      tool.name === 'pomona' ? await pulledPath(out, `d:${index + 1}`) : join(out, place);
    if (!existsSync(path)) continue;
    execFileSync('cmp', [path, wanted[index] ?? '']);
  }
}

async function pulledPath(out: string, name: string): Promise<string> {
  const shown = execFileSync(POMONA, [
    'image',
    'show',
    name,
    '--json',
    '--data',
    join(out, 'there'),
  ]);
  return (JSON.parse(shown.toString()) as { path: string }).path;
}

function mibOf(dir: string): number {
  return Math.round(Number(sh(`du -sB1 ${dir} | cut -f1`)) / MIB);
}

function sh(script: string): string {
  return execFileSync('sh', ['-c', script], { encoding: 'utf8' }).trim();
}

function cell(measured: Measured | undefined): string {
  if (measured === undefined) return '-';
  return `${measured.wall.toFixed(1)} s (${measured.cpu.toFixed(1)}), ${measured.peakMib} MiB`;
}

function ratio(a: Measured | undefined, b: Measured | undefined): string {
  return a === undefined || b === undefined ? '-' : `${(a.wall / b.wall).toFixed(1)} x`;
}

const [cpu] = cpus();
const memory = Math.round(totalmem() / 2 ** 30);
process.stdout.write(
  `${cpus().length} x ${cpu?.model ?? 'CPU'}, ${memory} GiB, load ${loadavg()[0]?.toFixed(2) ?? ''}\n`,
);
const dir = await mkdtemp(join(values.dir, 'pomona-bench-'));
try {
  const { bavail, bsize } = await statfs(dir);
  if (bavail * bsize < Number(values.files) * 12 * 2 ** 30)
    throw new Error(`${dir}: too little room`);
  const disks = await makeDisks(dir, Number(values.gib), Number(values.files));
  const data = Number(sh(`du -B1 ${disks.first} | cut -f1`)) / MIB;
  process.stdout.write(`a disk of ${values.gib} GiB with ${Math.round(data)} MiB of data\n\n`);
  const outcomes: Outcome[] = [];
  for (const tool of TOOLS) {
    if (
      values.only !== undefined &&
      !values.only.split(',').some((name) => tool.name.startsWith(name))
    )
      continue;
    if (spawnSync('sh', ['-c', `command -v ${tool.needs}`]).status !== 0) {
      process.stdout.write(`${tool.name} is not installed and is left out\n`);
      continue;
    }
    outcomes.push(await tryTool(tool, disks));
  }
  printTable(
    ['TOOL', ...STEPS.map((step) => step.toUpperCase()), 'STORED 1', 'STORED 2', 'OBJECTS'],
    outcomes.map(({ tool, steps, storedMib, objects }) => [
      tool,
      ...STEPS.map((step) => cell(steps[step])),
      `${storedMib[0]} MiB`,
      `+ ${storedMib[1]} MiB`,
      String(objects),
    ]),
  );
  const [ours, ...others] = outcomes;
  process.stdout.write(
    `\nwall seconds (processor seconds), peak memory; how much longer than Pomona:\n`,
  );
  printTable(
    ['TOOL', ...STEPS.map((step) => step.toUpperCase()), 'NEW BYTES'],
    others.map(({ tool, steps, storedMib }) => [
      tool,
      ...STEPS.map((step) => ratio(steps[step], ours?.steps[step])),
      `${(storedMib[1] / Math.max(1, ours?.storedMib[1] ?? 1)).toFixed(1)} x`,
    ]),
  );
} finally {
  sh(`umount ${join(dir, 'mnt')} 2>/dev/null || true`);
  await rm(dir, { recursive: true, force: true });
}
