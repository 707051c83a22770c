import { readFile, writeFile } from 'node:fs/promises';
import { Command } from 'commander';
import { FAULT_GROUPS, type FaultGroup } from '../simulation/scenario.ts';
import { parseScenario } from '../simulation/scenario-file.ts';
import { play, playSeed, shrink, type Failure } from '../simulation/play.ts';
import { ExitError, UsageError } from './errors.ts';
import { planFleet, type PlanOptions } from './plan-fleet.ts';
import { durationOption, integerOption } from './options.ts';
import { printJson } from './output.ts';

interface SimulateOptions extends PlanOptions {
  readonly plan?: boolean;
  readonly controllers: number;
  readonly seeds: string;
  readonly faults: string;
  readonly mostFaults: number;
  readonly scenario?: string;
  readonly keepScenario?: string;
  readonly shrink: boolean;
}

const VIOLATED = 1;

export function command(): Command {
  return new Command('simulate')
    .description('play fleets on a virtual clock: does all hold, and how many Macs are needed?')
    .option('--hosts <n>', 'Macs, each with two guests of macOS', integerOption, 3)
    .option('--jobs <n>', 'jobs that come', integerOption, 15)
    .option('--controllers <n>', 'controllers over one database', integerOption, 2)
    .option(
      '--for <duration>',
      'jobs come, and things go wrong, for so long',
      durationOption,
      120_000,
    )
    .option('--seed <n>', 'first seed; the same one always goes the same way', integerOption, 1)
    .option('--seeds <n>', 'how many seeds, one after the other; `forever` goes on', '1')
    .option('--faults <groups>', `none, all, or some of ${FAULT_GROUPS.join(',')}`, 'all')
    .option('--most-faults <n>', 'things that go wrong in one run at most', integerOption, 8)
    .option('--scenario <file>', 'play this scenario, as --keep-scenario left it')
    .option('--keep-scenario <file>', 'write the smallest scenario that fails there')
    .option('--no-shrink', 'do not look for a smaller scenario that fails')
    .option('--trace <file>', 'how many Macs? play this history: CSV, or JSON of GitHub or Jenkins')
    .option('--target <wish>', 'find the fewest hosts with, such as, "p95 wait < 2m"')
    .option('--plan', 'how many Macs? with jobs that are invented: --jobs, --for, --job-length')
    .option('--job-length <duration>', 'mean of invented jobs', durationOption, 600_000)
    .option('--slots <n>', 'workers of a host at once', integerOption, 2)
    .option('--ready <percent>', 'workers kept ready, of all there is room for', integerOption, 20)
    .option('--forecast', 'keep ready what the weeks before say, as pools with `forecast: on`')
    .option(
      '--make <duration>',
      'from asking for a worker until it is ready',
      durationOption,
      30_000,
    )
    .option('--host-cost <amount>', 'what a host costs a month', Number)
    .option('--report <file>', 'draw what came of it: FILE.html or FILE.svg')
    .option('--json', 'print the result as JSON; it holds no time of the real clock')
    .addHelpText(
      'after',
      `
What runs is what decides for a real fleet: the scheduler, the controllers' sessions, leases and
transactions, and the agents' decisions; only the clock, the network, the machines and the disks are
virtual. It ends with 1 when something did not hold, with the smallest scenario that shows it.

Examples:
  pomona simulate --seed 7                         one fleet
  pomona simulate --seeds 1000                     a thousand, until one fails
  pomona simulate --hosts 20 --jobs 500 --faults network,hosts
  pomona simulate --scenario failed.json --json    what --keep-scenario kept

With --trace, --target or --plan it answers another question: how long would these jobs have waited
on how many Macs? The scheduler decides; workers take --make to get ready; nothing goes wrong. A CSV has
the columns queued_at (ISO 8601, or seconds since 1970), duration (seconds) and maybe team.

  pomona simulate --trace jobs.csv --hosts 12 --report waits.html
  pomona simulate --trace jobs.csv --target "p95 wait < 2m" --host-cost 150
  gh api --paginate repos/O/R/actions/runs/ID/jobs > jobs.json`,
    )
    .action(simulate);
}

async function simulate(options: SimulateOptions): Promise<void> {
  checkNumbers(options);
  const plans = options.plan ?? (options.trace !== undefined || options.target !== undefined);
  if (plans) return planFleet(options);
  if (options.scenario !== undefined) return replay(options.scenario, options);
  const groups = groupsOf(options.faults);
  const size = {
    ...{ hosts: options.hosts, jobs: options.jobs, controllers: options.controllers },
    ...{ ms: options.for, faults: options.mostFaults },
  };
  const last = options.seed + seedsOf(options.seeds);
  const sum = { seeds: 0, events: 0, jobs: {} as Record<string, number> };
  for (let seed = options.seed; seed < last; seed += 1) {
    const run = await playSeed(seed, size, groups);
    if (run.played.violations.length > 0) return fail(run, options);
    sum.seeds += 1;
    sum.events += run.played.events;
    for (const [outcome, count] of Object.entries(run.played.jobs)) {
      sum.jobs[outcome] = (sum.jobs[outcome] ?? 0) + count;
    }
    const shows = process.stderr.isTTY && options.json !== true;
    if (shows) process.stderr.write(`\r${sum.seeds} fleets, ${sum.events} events`);
  }
  if (options.json === true) return printJson({ ...sum, violations: [] });
  if (process.stderr.isTTY) process.stderr.write('\n');
  const jobs = Object.entries(sum.jobs).map(([outcome, count]) => `${count} ${outcome}`);
  process.stdout.write(
    `${sum.seeds} fleets, ${sum.events} events; jobs: ${jobs.join(', ')}; all held\n`,
  );
}

async function replay(file: string, options: SimulateOptions): Promise<void> {
  const text = await readFile(file, 'utf8').catch((error: Error) => {
    throw new UsageError(`the scenario ${file} cannot be read: ${error.message}`);
  });
  const scenario = parseScenario(text);
  if (typeof scenario === 'string') {
    throw new UsageError(`${file} is no scenario as --keep-scenario writes it: ${scenario}`);
  }
  const played = await play(scenario);
  if (played.violations.length > 0) return report({ scenario, played }, options);
  if (options.json === true) printJson({ seeds: 1, ...played });
  else process.stdout.write(`${played.events} events; all held\n`);
}

async function fail(failure: Failure, options: SimulateOptions): Promise<void> {
  const say = (text: string) => {
    if (options.json !== true) process.stderr.write(text);
  };
  let smallest = failure;
  if (options.shrink) {
    say(`seed ${failure.scenario.seed} fails; looking for a smaller scenario\n`);
    smallest = await shrink(failure, ({ faults, jobs, hosts }) =>
      say(`  ${jobs.length} jobs, ${faults.length} faults, ${hosts} hosts\n`),
    );
  }
  if (options.keepScenario !== undefined) {
    await writeFile(options.keepScenario, `${JSON.stringify(smallest.scenario, null, 2)}\n`);
  }
  report(smallest, options);
}

function report({ scenario, played }: Failure, options: SimulateOptions): never {
  if (options.json === true) printJson({ seed: scenario.seed, scenario, ...played });
  else for (const line of played.trail) process.stdout.write(`${line}\n`);
  const [violation] = played.violations;
  throw new ExitError(
    VIOLATED,
    `${violation?.invariant} does not hold (seed ${scenario.seed}, ${violation?.at} ms): ${violation?.detail}`,
  );
}

/** What has to be there at all. */
function checkNumbers(options: SimulateOptions): void {
  for (const name of ['hosts', 'jobs', 'controllers', 'slots'] as const) {
    if (options[name] >= 1) continue;
    throw new UsageError(`--${name} expects at least 1, not ${options[name]}`);
  }
  const { mostFaults, ready, hostCost = 0 } = options;
  if (mostFaults < 0) throw new UsageError(`--most-faults expects 0 or more, not ${mostFaults}`);
  if (ready < 0 || ready > 100) throw new UsageError(`--ready expects 0 to 100, not ${ready}`);
  if (!(hostCost >= 0)) throw new UsageError('--host-cost expects an amount, such as 150');
}

function groupsOf(text: string): readonly FaultGroup[] {
  if (text === 'none') return [];
  if (text === 'all') return FAULT_GROUPS;
  const names = text.split(',');
  const unknown = names.find((name) => !(FAULT_GROUPS as readonly string[]).includes(name));
  if (unknown !== undefined) {
    throw new UsageError(
      `--faults expects none, all or ${FAULT_GROUPS.join(', ')}, not ${unknown}`,
    );
  }
  return names as FaultGroup[];
}

function seedsOf(text: string): number {
  if (text === 'forever') return Infinity;
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  throw new UsageError(`--seeds expects a number or \`forever\`, not ${text}`);
}
