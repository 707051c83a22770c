/**
 * Claim: one controller with the sessions of a thousand agents gives jobs that come at a steady rate to
 * warm workers at once. The agents are pretended hosts in one process; controller and sessions are real.
 *
 *   node bench/fleet-live.ts [hosts [jobs a second [seconds]]]      (default: 1000 50 30)
 */
import type { JobView } from '../src/protocol/api/resources.ts';
import { cpuSeconds, machine, memoryMiB, percentile } from './support/measure.ts';
import { Program, until } from './support/program.ts';

const [HOSTS = 1_000, RATE = 50, SECONDS = 30] = process.argv.slice(2).map(Number);
/** Warm workers: what is used in the time that a new one takes, and more. */
const READY = Math.min(HOSTS, RATE * 8);

const CONFIG = `
pools:
  - { name: macs, labels: [macs], kind: vm, vm: synthetic, guest: linux, ready: ${READY}, max: ${HOSTS * 2} }
`;

console.log(`${new Date().toISOString()}: ${machine()}\n`);
const program = await Program.make(CONFIG);
try {
  const controller = await program.controller('serve');
  const empty = await memoryMiB(controller);
  const begun = performance.now();
  await program.syntheticHosts(HOSTS, 2);
  await until(async () => {
    const { items } = await program.client.call('listPools', {});
    return items.every(({ counts, spec }) => counts.ready >= spec.ready);
  });
  const readyAfter = performance.now() - begun;
  const cpuBefore = await cpuSeconds(controller);
  const from = performance.now();
  const jobs: Promise<JobView>[] = [];
  for (let n = 0; n < RATE * SECONDS; n += 1) {
    const wait = from + (n * 1_000) / RATE - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    jobs.push(run());
  }
  const views = await Promise.all(jobs);
  const tookS = (performance.now() - from) / 1_000;
  const waits = views.map(({ submittedAt, startedAt = Infinity }) => startedAt - submittedAt);
  const memory = await memoryMiB(controller);
  const busy = ((await cpuSeconds(controller)) - cpuBefore) / tookS;
  const ms = (share: number) => `${percentile(waits, share).toFixed(0)} ms`;
  console.log(
    `${HOSTS} hosts, ${READY} workers ready after ${(readyAfter / 1_000).toFixed(1)} s\n` +
      `${views.length} jobs at ${RATE} a second took ${tookS.toFixed(1)} s\n` +
      `submitted to started: p50 ${ms(0.5)}, p95 ${ms(0.95)}, p99 ${ms(0.99)}, longest ${ms(1)}\n` +
      `controller: ${(busy * 100).toFixed(0)} % of a core, ${memory.now.toFixed(0)} MiB, ` +
      `${(((memory.now - empty.now) * 1_024) / HOSTS).toFixed(0)} KiB for each host`,
  );
} finally {
  await program.remove();
}

async function run(): Promise<JobView> {
  const { id } = await program.client.call('submitJob', {
    body: { command: ['true'], pool: 'macs' },
  });
  for (;;) {
    const view = await program.client.call('getJob', { params: { id }, query: { wait: 60_000 } });
    if (view.state === 'finished') return view;
  }
}
