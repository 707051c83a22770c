/**
 * What a decision for the whole fleet costs, as the fleet grows: hosts with two workers each, and ten
 * jobs that wait for each host.
 *
 *   node bench/fleet.ts [hosts...]
 *
 * `read at once` is a decision on a fresh reading of all there is; the other columns are of the fleet
 * that is kept up to date: a pass where nothing changed, and one that gives a job the worker which just
 * became ready. Memory is what the kept fleet takes, for each host.
 */
import { decide, decideFleet } from '../src/domain/scheduling/decide.ts';
import { Fleet } from '../src/domain/scheduling/fleet.ts';
import type {
  FleetView,
  HostStatus,
  QueuedJob,
  WorkerStatus,
} from '../src/domain/scheduling/fleet-view.ts';
import { specFor, specKey } from '../src/domain/scheduling/fit.ts';
import { facts, host, NOW, pool, view } from '../test/fleet-view.ts';
import { percentile } from './support/measure.ts';

const SIZES = process.argv.slice(2).map(Number);
const WORKERS = 2;
const JOBS = 10;
const ROUNDS = 200;
const TEAMS = 20;

const POOLS = ['ci', 'release', 'macos'].map((name) =>
  pool(name, { max: 100_000, kind: 'vm', vm: 'synthetic', guest: 'macos' }),
);

function fleetOf(hosts: number): FleetView {
  const of = POOLS[0] ?? pool('ci');
  const spec = specFor(of, facts());
  if (!spec.fits) throw new Error(spec.reason);
  const statuses: HostStatus[] = [];
  const workers: WorkerStatus[] = [];
  const queued: QueuedJob[] = [];
  for (let n = 0; n < hosts; n += 1) {
    const name = `mac-${String(n).padStart(5, '0')}`;
    statuses.push(host(name, { facts: facts({ capacity: { workers: WORKERS, macosVms: 2 } }) }));
    for (let slot = 0; slot < WORKERS; slot += 1) {
      workers.push({
        ...{ id: `w-${name}-${slot}`, pool: of.name, hostId: name, state: 'running', goal: 'run' },
        ...{ jobId: `r-${name}-${slot}`, specKey: specKey(spec.spec), macosVm: true },
        ...{ readyAt: NOW, createdAt: NOW },
      });
    }
    for (let job = 0; job < JOBS; job += 1) {
      const team = `team-${(n + job) % TEAMS}`;
      const labels = [POOLS[(n * JOBS + job) % POOLS.length]?.name ?? ''];
      queued.push({
        id: `j-${String(n * JOBS + job).padStart(9, '0')}`,
        pool: undefined,
        labels,
        team,
      });
    }
  }
  return view({ pools: POOLS, hosts: statuses, workers, queued });
}

function timed(work: () => unknown): number {
  const from = performance.now();
  work();
  return performance.now() - from;
}

const rows: string[][] = [
  ['hosts', 'jobs', 'read at once', 'nothing changed', 'one worker ready (p50, p99)', 'per host'],
];
for (const hosts of SIZES.length > 0 ? SIZES : [10, 100, 1_000, 10_000]) {
  const reading = fleetOf(hosts);
  decideFleet(reading);
  const whole = timed(() => decideFleet(reading));
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  const fleet = Fleet.of(reading);
  globalThis.gc?.();
  const bytes = process.memoryUsage().heapUsed - before;
  decide(fleet, reading);
  const quiet = Array.from({ length: ROUNDS }, () => timed(() => decide(fleet, reading)));
  const ready = Array.from({ length: ROUNDS }, (_, round) => {
    const worker = reading.workers[(round * 7_919) % reading.workers.length];
    if (worker === undefined) throw new Error('no worker');
    let taken: QueuedJob | undefined;
    const took = timed(() => {
      fleet.setWorker({ ...worker, state: 'ready', goal: 'ready', jobId: undefined });
      const given = decide(fleet, reading).find((action) => action.type === 'assign');
      taken = given?.type === 'assign' ? fleet.queue.get(given.jobId) : undefined;
      fleet.setWorker(worker);
      if (taken !== undefined) {
        fleet.setRunning({ id: taken.id, team: taken.team ?? '', pool: worker.pool });
      }
    });
    if (taken === undefined) throw new Error('no job was given');
    fleet.setQueued(taken);
    return took;
  });
  const ms = (value: number) => `${value.toFixed(value < 1 ? 3 : 1)} ms`;
  rows.push([
    ...[String(hosts), String(reading.queued.length), ms(whole), ms(percentile(quiet, 0.5))],
    `${ms(percentile(ready, 0.5))}, ${ms(percentile(ready, 0.99))}`,
    globalThis.gc === undefined ? '(node --expose-gc)' : `${Math.round(bytes / hosts)} bytes`,
  ]);
}
for (const row of rows) process.stdout.write(`${row.map((cell) => cell.padEnd(28)).join('')}\n`);
