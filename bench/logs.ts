/**
 * Claim: a job may print as fast as it can; its log costs bounded memory. One job that prints 1 GB,
 * and 50 jobs at once that print 10 MB each, with the most memory that controller, agent and keepers
 * ever had; beside them the same bytes through a pipe into a file. Linux only; needs 4 GB of disk.
 *
 *   node bench/logs.ts
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { printTable } from '../src/cli/output.ts';
import { findProcesses } from '../src/platform/process-table.ts';
import { machine, median, memoryMiB } from './support/measure.ts';
import { Program, runJob, settled } from './support/program.ts';

const MB = 1e6;
const REPETITIONS = 3;
const LOOK_EVERY_MS = 50;
const CASES = [
  { name: 'one job, 1 GB', jobs: 1, bytes: 1000 * MB },
  { name: '50 jobs at once, 10 MB each', jobs: 50, bytes: 10 * MB },
] as const;
/** As many at once as there are jobs, so that none waits for another's worker. */
const CONFIG = `
pools:
  - { name: logs, labels: [logs], ready: 50, max: 50 }
`;

/** Prints so many bytes in lines of 64, as fast as it can. */
function printing(bytes: number): string[] {
  const line = 'a line of a log that is sixty-four bytes long, as many are: ok';
  return ['sh', '-c', `yes '${line}.' | head -c ${bytes}`];
}

/** The most memory of the processes that stand by the workers below `dir`, in MiB. */
class KeeperMemory {
  readonly #dir: string;
  readonly #timer: NodeJS.Timeout;
  #pids = new Map<string, number>();
  most = 0;
  mostTogether = 0;

  constructor(dir: string) {
    this.#dir = dir;
    this.#timer = setInterval(() => void this.look().catch(() => undefined), LOOK_EVERY_MS);
  }

  async look(): Promise<void> {
    const names = await readdir(this.#dir);
    let together = 0;
    for (const name of names) {
      const dir = join(this.#dir, name);
      const pid = this.#pids.get(dir) ?? (await findProcesses({ argument: dir }))[0];
      if (pid === undefined) continue;
      this.#pids.set(dir, pid);
      // A keeper that ended meanwhile has said its most before.
      const memory = await memoryMiB(pid).catch(() => undefined);
      if (memory === undefined || Number.isNaN(memory.peak)) continue;
      this.most = Math.max(this.most, memory.peak);
      together += memory.now;
    }
    this.mostTogether = Math.max(this.mostTogether, together);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

/** Megabytes a second of the same output through a pipe, by way of `cat`, into files. */
async function baseline(jobs: number, bytes: number): Promise<number> {
  const dir = await mkdtemp(join(tmpdir(), 'pomona-bench-cat-'));
  try {
    const begun = performance.now();
    await Promise.all(
      Array.from({ length: jobs }, async (_, index) => {
        const [file = '', flag = '', script = ''] = printing(bytes);
        const child = spawn(file, [flag, `${script} | cat > ${join(dir, String(index))}`]);
        const [code] = (await once(child, 'exit')) as [number | null];
        if (code !== 0) throw new Error(`the baseline ended with ${code}`);
      }),
    );
    return (jobs * bytes) / MB / ((performance.now() - begun) / 1000);
  } finally {
    await rm(dir, { recursive: true });
  }
}

/** Megabytes a second from the first start to the last end; ended means all of it is delivered. */
async function logs(program: Program, jobs: number, bytes: number): Promise<number> {
  await settled(program.client);
  const begun = performance.now();
  const done = await Promise.all(
    Array.from({ length: jobs }, () => runJob(program.client, 'logs', printing(bytes))),
  );
  const seconds = (performance.now() - begun) / 1000;
  for (const { view } of done) {
    if (view.logBytes < bytes) throw new Error(`job ${view.id} has ${view.logBytes} bytes of log`);
  }
  return (jobs * bytes) / MB / seconds;
}

console.log(`${new Date().toISOString()}: ${machine()}\n`);
const rows: string[][] = [];
for (const { name, jobs, bytes } of CASES) {
  const plain: number[] = [];
  while (plain.length < REPETITIONS) plain.push(await baseline(jobs, bytes));
  const program = await Program.make(CONFIG);
  try {
    const controller = await program.controller('serve');
    const agent = await program.agent(50);
    const keepers = new KeeperMemory(join(program.data, 'agent', 'workers'));
    const rates: number[] = [];
    while (rates.length < REPETITIONS) rates.push(await logs(program, jobs, bytes));
    keepers.stop();
    const mib = (value: number) => value.toFixed(0);
    rows.push([
      name,
      mib(median(rates)),
      mib(median(plain)),
      mib((await memoryMiB(controller)).peak),
      mib((await memoryMiB(agent)).peak),
      mib(keepers.most),
      mib(keepers.mostTogether),
    ]);
  } finally {
    await program.remove();
  }
}
printTable(
  ['LOGS', 'MB/S', 'CAT MB/S', 'CONTROLLER MIB', 'AGENT MIB', 'A KEEPER MIB', 'ALL KEEPERS MIB'],
  rows,
);
console.log('\nmemory: the most each process ever had; for all keepers, the most seen together');
console.log(`at the end: ${machine()}`);
