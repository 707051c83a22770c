/**
 * Claims: how soon a job starts and is finished, how many a second go through, what an idle
 * controller costs; and the same for the same trivial build on a real Buildbot, in the same run.
 * Linux only. Takes about three minutes; see docs/guides/performance.md.
 *
 *   node bench/dispatch.ts [warm|cold|burst|rate|idle|buildbot]...      (default: all)
 */
import { printTable } from '../src/cli/output.ts';
import { Buildbot, whyNoBuildbot, type TimedBuild } from './support/buildbot.ts';
import { cpuSeconds, machine, median, memoryMiB, percentile } from './support/measure.ts';
import { Program, runJob, settled, type TimedJob } from './support/program.ts';

const ONE_BY_ONE = 50;
const AT_ONCE = 50;
const BURSTS = 3;
const RATE_SECONDS = 30;
const IN_FLIGHT = 32;
const IDLE_HOSTS = 100;
const IDLE_SECONDS = 60;

const REAL = `
pools:
  - { name: warm, labels: [warm], ready: 4, max: 8 }
  - { name: cold, labels: [cold], ready: 0, max: 8 }
agent: { workers: 16 }
`;
const SYNTHETIC = `
pools:
  - { name: synthetic, labels: [synthetic], kind: vm, vm: synthetic, guest: linux, ready: 64, max: 128 }
`;
const IDLE = `
pools:
  - { name: synthetic, labels: [synthetic], kind: vm, vm: synthetic, guest: linux, ready: 100, max: 200 }
`;

/** Times of one way to run trivial jobs, in ms since their submission. */
interface Case {
  readonly name: string;
  readonly started: readonly number[];
  readonly finished: readonly number[];
  /** Jobs a second, of each repetition. */
  readonly rates: readonly number[];
}

const wanted = new Set(process.argv.slice(2));
const cases: Case[] = [];
const is = (name: string) => wanted.size === 0 || wanted.has(name);

console.log(`${new Date().toISOString()}: ${machine()}\n`);
if (is('warm') || is('cold') || is('burst')) await realWorkers();
if (is('rate')) await sustainedRate();
if (is('buildbot')) await buildbot();
printCases();
if (is('idle')) await idleController();
console.log(`\nat the end: ${machine()}`);

async function realWorkers(): Promise<void> {
  await using(REAL, async (program) => {
    await program.controller('up');
    const { client } = program;
    if (is('warm')) cases.push(await oneByOne('warm, 1 in flight', program, 'warm'));
    if (is('cold')) cases.push(await oneByOne('cold, 1 in flight', program, 'cold'));
    if (!is('burst')) return;
    for (const pool of ['warm', 'cold']) {
      const bursts: TimedJob[][] = [];
      for (let left = BURSTS; left > 0; left -= 1) {
        await settled(client);
        const jobs = Array.from({ length: AT_ONCE }, () => runJob(client, pool));
        bursts.push(await Promise.all(jobs));
      }
      cases.push(caseOf(`${pool}, ${AT_ONCE} in flight`, bursts));
    }
  });
}

async function oneByOne(name: string, { client }: Program, pool: string): Promise<Case> {
  const jobs: TimedJob[] = [];
  while (jobs.length < ONE_BY_ONE) {
    await settled(client);
    jobs.push(await runJob(client, pool));
  }
  return caseOf(name, [jobs]);
}

/** Real controller, agents and clients; only the machines are pretended. */
async function sustainedRate(): Promise<void> {
  await using(SYNTHETIC, async (program) => {
    await program.controller('serve');
    await program.syntheticHosts(4, 32);
    await settled(program.client);
    const jobs: TimedJob[] = [];
    const end = performance.now() + RATE_SECONDS * 1000;
    const loop = async () => {
      while (performance.now() < end) jobs.push(await runJob(program.client, 'synthetic'));
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, loop));
    cases.push(caseOf(`synthetic, ${IN_FLIGHT} in flight for ${RATE_SECONDS} s`, [jobs]));
  });
}

async function buildbot(): Promise<void> {
  const why = await whyNoBuildbot();
  if (why !== undefined) {
    console.log(`No comparison with Buildbot: ${why}.\n`);
    return;
  }
  const bot = await Buildbot.start();
  try {
    const name = `Buildbot ${await bot.version()}`;
    await bot.build();
    const single: TimedBuild[] = [];
    const begun = performance.now();
    while (single.length < ONE_BY_ONE) single.push(await bot.build());
    const rate = (ONE_BY_ONE / (performance.now() - begun)) * 1000;
    const times = (builds: readonly TimedBuild[]) => ({
      started: builds.map((build) => build.startedMs),
      finished: builds.map((build) => build.finishedMs),
    });
    cases.push({ name: `${name}, 1 in flight`, ...times(single), rates: [rate] });
    const bursts: TimedBuild[] = [];
    const rates: number[] = [];
    for (let left = BURSTS; left > 0; left -= 1) {
      const start = performance.now();
      bursts.push(...(await Promise.all(Array.from({ length: AT_ONCE }, () => bot.build()))));
      rates.push((AT_ONCE / (performance.now() - start)) * 1000);
    }
    cases.push({ name: `${name}, ${AT_ONCE} in flight`, ...times(bursts), rates });
  } finally {
    await bot.remove();
  }
}

async function idleController(): Promise<void> {
  await using(IDLE, async (program) => {
    const controller = await program.controller('serve');
    const agents = await program.syntheticHosts(IDLE_HOSTS, 2);
    await settled(program.client);
    await pause(10);
    const before = await cpuSeconds(controller);
    const beforeAgents = await cpuSeconds(agents);
    await pause(IDLE_SECONDS);
    const share = (from: number, to: number) =>
      `${(((to - from) / IDLE_SECONDS) * 100).toFixed(2)} %`;
    const memory = await memoryMiB(controller);
    console.log(
      `\nidle for ${IDLE_SECONDS} s with ${IDLE_HOSTS} synthetic hosts and as many ready workers:\n` +
        `  controller: ${share(before, await cpuSeconds(controller))} of one core, ` +
        `${memory.now.toFixed(0)} MiB (most ever: ${memory.peak.toFixed(0)} MiB)\n` +
        `  all agents, in one process: ${share(beforeAgents, await cpuSeconds(agents))} of one core, ` +
        `${(await memoryMiB(agents)).now.toFixed(0)} MiB`,
    );
  });
}

function caseOf(name: string, repetitions: readonly (readonly TimedJob[])[]): Case {
  const jobs = repetitions.flat();
  return {
    name,
    started: jobs.map(({ view }) => (view.startedAt ?? Number.NaN) - view.submittedAt),
    finished: jobs.map(({ knownFinishedMs }) => knownFinishedMs),
    rates: repetitions.map((each) => {
      const first = Math.min(...each.map(({ view }) => view.submittedAt));
      const last = Math.max(...each.map(({ view }) => view.finishedAt ?? 0));
      return (each.length / (last - first)) * 1000;
    }),
  };
}

function printCases(): void {
  const times = ({ started, finished }: Case) =>
    [started, finished].flatMap((values) =>
      [0.5, 0.99].map((share) => percentile(values, share).toFixed(0)),
    );
  printTable(
    ['MILLISECONDS', 'JOBS', 'STARTED P50', 'P99', 'FINISHED P50', 'P99', 'JOBS/S'],
    cases.map((each) => [
      each.name,
      String(each.finished.length),
      ...times(each),
      median(each.rates).toFixed(1),
    ]),
  );
  for (const inFlight of [1, AT_ONCE]) {
    const [ours, theirs] = ['warm', 'Buildbot'].map((kind) =>
      cases.find(({ name }) => name.startsWith(kind) && name.endsWith(`, ${inFlight} in flight`)),
    );
    if (ours === undefined || theirs === undefined) continue;
    const ratio = (of: (each: Case) => readonly number[]) =>
      (median(of(theirs)) / median(of(ours))).toFixed(1);
    console.log(
      `${inFlight} in flight: warm Pomona starts a job ${ratio((each) => each.started)} times sooner ` +
        `than Buildbot, and finishes it ${ratio((each) => each.finished)} times sooner (medians)`,
    );
  }
}

async function using(config: string, work: (program: Program) => Promise<void>): Promise<void> {
  const program = await Program.make(config);
  try {
    await work(program);
  } finally {
    await program.remove();
  }
}

function pause(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}
