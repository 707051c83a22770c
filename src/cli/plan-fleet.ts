import { readFile, writeFile } from 'node:fs/promises';
import { drawCourse, drawPage, drawWaits } from '../simulation/plan/draw.ts';
import { askFleet } from '../simulation/plan/ask.ts';
import type { FleetOutcome } from '../simulation/plan/fleet-run.ts';
import { parseTarget } from '../simulation/plan/target.ts';
import { readTrace, type TracedJob } from '../simulation/plan/trace.ts';
import { Random } from '../simulation/random.ts';
import { UsageError } from './errors.ts';
import { printJson, printTable } from './output.ts';

export interface PlanOptions {
  readonly trace?: string;
  readonly target?: string;
  readonly hosts: number;
  readonly jobs: number;
  readonly for: number;
  readonly seed: number;
  readonly slots: number;
  readonly ready: number;
  readonly make: number;
  readonly forecast?: boolean;
  readonly jobLength: number;
  readonly hostCost?: number;
  readonly report?: string;
  readonly json?: boolean;
}

const MONTH_MS = 30 * 86_400_000;

/** Answers how many Macs a history of jobs needs, or how long its jobs wait on this many. */
export async function planFleet(options: PlanOptions): Promise<void> {
  const trace = options.trace === undefined ? invented(options) : await traced(options.trace);
  const target = options.target === undefined ? undefined : parseTarget(options.target);
  if (options.target !== undefined && target === undefined) {
    throw new UsageError(
      `--target expects p50, p95, p99 or longest, such as "p95 wait < 2m", not ${options.target}`,
    );
  }
  const { slots, ready, make: makeMs, forecast } = options;
  const question = { slots, ready, makeMs, forecast, target, hosts: options.hosts };
  const { hosts, tried } = askFleet(question, trace);
  const summary =
    target === undefined
      ? `${trace.length} jobs on ${options.hosts} hosts.`
      : hosts === undefined
        ? `No number of hosts reaches ${options.target}: try more --ready, or a shorter --make.`
        : `${hosts} hosts are the fewest with ${options.target}, for ${trace.length} jobs.`;
  const rows = tableOf(tried, options.hostCost);
  if (options.report !== undefined) await draw(options.report, tried, rows, summary);
  if (options.json === true) {
    const outcomes = tried.map(({ plan, jobs, wait, use, lastedMs }) => ({
      ...{ plan, jobs, wait, use, lastedMs },
    }));
    const told = target === undefined ? options.hosts : hosts;
    return printJson({ ...(told === undefined ? {} : { hosts: told }), summary, outcomes });
  }
  const [heading = [], ...body] = rows;
  printTable(
    [...heading],
    body.map((row) => [...row]),
  );
  process.stdout.write(`\n${summary}\n`);
}

function tableOf(outcomes: readonly FleetOutcome[], hostCost: number | undefined): string[][] {
  const cost = hostCost === undefined ? [] : ['COST A MONTH', 'COST A JOB'];
  const heading = ['HOSTS', 'WAIT P50', 'P95', 'P99', 'LONGEST', 'USE', ...cost];
  const rows = outcomes.map(({ plan, wait, use, jobs, lastedMs }) => {
    const month = plan.hosts * (hostCost ?? 0);
    const each = (month * lastedMs) / MONTH_MS / jobs;
    const costs = hostCost === undefined ? [] : [month.toFixed(0), each.toFixed(3)];
    const waits = [wait.p50, wait.p95, wait.p99, wait.longest].map(duration);
    return [String(plan.hosts), ...waits, `${Math.round(use * 100)} %`, ...costs];
  });
  return [heading, ...rows];
}

function duration(ms: number): string {
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  return ms < 3_600_000 ? `${(ms / 60_000).toFixed(1)} m` : `${(ms / 3_600_000).toFixed(1)} h`;
}

async function draw(
  file: string,
  outcomes: readonly FleetOutcome[],
  rows: readonly (readonly string[])[],
  summary: string,
): Promise<void> {
  const [first] = outcomes;
  if (file.endsWith('.svg') && first !== undefined) {
    await writeFile(file, outcomes.length > 1 ? drawWaits(outcomes) : drawCourse(first));
  } else if (file.endsWith('.html')) await writeFile(file, drawPage(outcomes, rows, summary));
  else throw new UsageError(`--report expects a file that ends with .html or .svg, not ${file}`);
}

async function traced(file: string): Promise<TracedJob[]> {
  const text = await readFile(file, 'utf8').catch((error: Error) => {
    throw new UsageError(`the trace ${file} cannot be read: ${error.message}`);
  });
  return readTrace(text, file);
}

/** Jobs that come by themselves, more of them by day than by night. */
function invented({ jobs, for: ms, seed, jobLength }: PlanOptions): TracedJob[] {
  const random = new Random(seed);
  const list: TracedJob[] = [];
  while (list.length < jobs) {
    const at = random.between(0, ms);
    const hour = (at / 3_600_000) % 24;
    const busy = 0.5 - 0.5 * Math.cos((2 * Math.PI * hour) / 24);
    if (random.next() > 0.2 + 0.8 * busy) continue;
    list.push({ at, lengthMs: random.exponential(jobLength), team: '' });
  }
  return list.toSorted((a, b) => a.at - b.at);
}
