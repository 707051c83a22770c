/**
 * Claim: how soon a job starts and ends. Jobs of `true` on a fleet of this machine: warm and cold,
 * one and many at a time; and how many a second synthetic workers take. Prints milliseconds.
 *
 *   node bench/dispatch.ts [jobs]
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ApiClient } from '../src/cli/api-client.ts';
import { findConnection } from '../src/cli/connection.ts';
import { printTable } from '../src/cli/output.ts';
import type { JobView } from '../src/protocol/api/resources.ts';

const POMONA = fileURLToPath(new URL('../bin/pomona', import.meta.url));
const JOBS = Number(process.argv[2] ?? 50);

const CONFIG = `
pools:
  - { name: warm, labels: [warm], ready: 4, max: 8 }
  - { name: cold, labels: [cold], ready: 0, max: 8 }
  - { name: synthetic, labels: [synthetic], kind: vm, vm: synthetic, guest: linux, ready: 20, max: 60 }
agent: { workers: 80 }
`;

async function up(data: string): Promise<{ child: ChildProcess; client: ApiClient }> {
  const config = join(data, 'pomona.yaml');
  await writeFile(config, CONFIG);
  const args = ['up', '--data', data, '--config', config, '--listen', '127.0.0.1:0'];
  const child = spawn(POMONA, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const chunk of child.stdout ?? []) if (String(chunk).includes('is ready')) break;
  return { child, client: new ApiClient(await findConnection(data)) };
}

async function finished(client: ApiClient, id: string): Promise<JobView> {
  for (;;) {
    const job = await client.call('getJob', { params: { id }, query: { wait: 60_000 } });
    if (job.state === 'finished') return job;
  }
}

async function settled(client: ApiClient): Promise<void> {
  for (;;) {
    const { items } = await client.call('listPools', {});
    const full = items.every((pool) => pool.counts.ready >= pool.spec.ready);
    if (full && items.every((pool) => pool.counts.booting === 0)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function oneByOne(client: ApiClient, pool: string): Promise<JobView[]> {
  const jobs: JobView[] = [];
  for (let left = JOBS; left > 0; left -= 1) {
    await settled(client);
    const { id } = await client.call('submitJob', { body: { command: ['true'], pool } });
    jobs.push(await finished(client, id));
  }
  return jobs;
}

async function atOnce(client: ApiClient, pool: string, count: number): Promise<JobView[]> {
  await settled(client);
  const submitted = await Promise.all(
    Array.from({ length: count }, () =>
      client.call('submitJob', { body: { command: ['true'], pool } }),
    ),
  );
  return Promise.all(submitted.map(({ id }) => finished(client, id)));
}

function row(name: string, jobs: readonly JobView[]): string[] {
  const started = jobs.map((job) => (job.startedAt ?? 0) - job.submittedAt);
  const ended = jobs.map((job) => (job.finishedAt ?? 0) - job.submittedAt);
  const first = Math.min(...jobs.map((job) => job.submittedAt));
  const last = Math.max(...jobs.map((job) => job.finishedAt ?? 0));
  const rate = (jobs.length / (last - first)) * 1000;
  return [
    name,
    String(jobs.length),
    ...[0.5, 0.99].map((share) => `${percentile(started, share)}`),
    ...[0.5, 0.99].map((share) => `${percentile(ended, share)}`),
    rate.toFixed(1),
  ];
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

const data = await mkdtemp(join(tmpdir(), 'pomona-bench-'));
await chmod(data, 0o711);
const { child, client } = await up(data);
try {
  const rows = [
    row('warm, one at a time', await oneByOne(client, 'warm')),
    row('cold, one at a time', await oneByOne(client, 'cold')),
    row('warm pool, 50 at once', await atOnce(client, 'warm', 50)),
    row('synthetic, 1000 at once', await atOnce(client, 'synthetic', 1000)),
  ];
  printTable(
    ['CASE', 'JOBS', 'STARTED P50', 'STARTED P99', 'FINISHED P50', 'FINISHED P99', 'JOBS/S'],
    rows,
  );
} finally {
  const { items } = await client.call('listHosts', {});
  for (const { name } of items) await client.call('drainHost', { params: { name } });
  while ((await client.call('listWorkers', {})).items.length > 0) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  child.kill('SIGTERM');
  await once(child, 'exit');
  await rm(data, { recursive: true });
}
