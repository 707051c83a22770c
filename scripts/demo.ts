/**
 * The demo: a controller and an agent with embedded defaults on this machine, and six jobs of real
 * work, two at a time: published packages are fetched through npm, what their own tests need is
 * installed, and the tests are run, each in a fresh worker. All it makes is removed at the end.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ApiClient } from '../src/cli/api-client.ts';
import { findConnection } from '../src/cli/connection.ts';
import { fetchArtifacts } from '../src/cli/fetch-artifacts.ts';
import { printTable, span } from '../src/cli/output.ts';
import type { JobView } from '../src/protocol/api/resources.ts';
import { npmEnvironment } from './npm-environment.ts';

const POMONA = fileURLToPath(new URL('../bin/pomona', import.meta.url));

/** Well-known packages that are published with their tests. */
const PACKAGES = [
  'minimist@1.2.8',
  'shell-quote@1.8.3',
  'json-stable-stringify@1.3.0',
  'minimist@1.2.6',
  'shell-quote@1.8.1',
  'json-stable-stringify@1.2.0',
];

function scriptFor(name: string): string {
  return [
    'set -e',
    `npm pack --silent ${name} >/dev/null`,
    'tar -xzf *.tgz',
    'cd package',
    'npm pkg delete devDependencies scripts',
    'npm install --silent --no-save --ignore-scripts tape@5 ',
    `if node_modules/.bin/tape 'test/*.js' > ../report.tap; then code=0; else code=$?; fi`,
    `grep -E '^# (tests|pass|fail)' ../report.tap`,
    'exit $code',
  ].join('\n');
}

async function startUp(data: string): Promise<{ child: ChildProcess; client: ApiClient }> {
  const child = spawn(POMONA, ['up', '--data', data, '--listen', '127.0.0.1:0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  for await (const chunk of child.stdout ?? []) {
    process.stdout.write(String(chunk));
    if (String(chunk).includes('is ready')) break;
  }
  return { child, client: new ApiClient(await findConnection(data)) };
}

/** Drains the only host, so that its workers are destroyed, then ends the program. */
async function tearDown(data: string, child: ChildProcess, client: ApiClient): Promise<void> {
  const { items: hosts } = await client.call('listHosts', {});
  for (const { name } of hosts) await client.call('drainHost', { params: { name } });
  for (let left = 100; left > 0; left -= 1) {
    const { items } = await client.call('listWorkers', {});
    if (items.length === 0) break;
    await sleep(100);
  }
  child.kill('SIGTERM');
  if (child.exitCode === null) await once(child, 'exit');
  await rm(data, { recursive: true, force: true });
}

async function finish(client: ApiClient, id: string): Promise<JobView> {
  for (;;) {
    const job = await client.call('getJob', { params: { id }, query: { wait: 30_000 } });
    if (job.state === 'finished') return job;
  }
}

/** The best isolation in which npm can be used at all: where it lives may be out of reach. */
async function chooseSandbox(client: ApiClient): Promise<string | undefined> {
  const { id } = await client.call('submitJob', { body: { command: ['npm', '--version'] } });
  const job = await finish(client, id);
  return job.outcome === 'succeeded' ? undefined : 'process';
}

async function say(client: ApiClient, sandbox: string | undefined): Promise<void> {
  const { items } = await client.call('listHosts', {});
  const reports = items[0]?.facts?.sandboxes ?? [];
  const best = reports
    .filter((report) => (sandbox === undefined ? report.available : report.name === sandbox))
    .toSorted((a, b) => b.rank - a.rank)[0];
  process.stdout.write(`Isolation: ${best?.name} (${best?.detail})\n`);
  if (sandbox !== undefined) {
    process.stdout.write('Better isolation was left out: npm cannot be reached from inside it.\n');
  }
}

async function runJobs(client: ApiClient, pool: string): Promise<JobView[]> {
  const env = npmEnvironment();
  const jobs = await Promise.all(
    PACKAGES.map((name) =>
      client.call('submitJob', {
        body: {
          title: `${name}: its own tests`,
          command: ['sh', '-c', scriptFor(name)],
          pool,
          env,
          artifacts: ['report.tap'],
          timeoutMs: 600_000,
        },
      }),
    ),
  );
  const began = performance.now();
  const shown = new Map<string, string>();
  for (;;) {
    const states = await Promise.all(
      jobs.map(({ id }) => client.call('getJob', { params: { id } })),
    );
    for (const job of states) {
      const state = job.outcome ?? job.state;
      if (shown.get(job.id) === state) continue;
      shown.set(job.id, state);
      const worker = job.state === 'running' ? ` in worker ${job.workerId}` : '';
      const time = span(performance.now() - began).padStart(8);
      process.stdout.write(`${time}  ${job.title?.padEnd(45)} ${state}${worker}\n`);
    }
    if (states.every((job) => job.state === 'finished')) return states;
    await sleep(200);
  }
}

async function report(client: ApiClient, jobs: readonly JobView[], data: string): Promise<boolean> {
  const rows: string[][] = [];
  for (const job of jobs) {
    const output = join(data, 'artifacts', job.id);
    await fetchArtifacts(client, job, output);
    const tap = await readFile(join(output, 'report.tap'), 'utf8').catch(() => '');
    const { submittedAt, assignedAt, startedAt, finishedAt } = job;
    rows.push([
      job.title?.split(':')[0] ?? '',
      job.outcome ?? '',
      span((assignedAt ?? 0) - submittedAt),
      span((startedAt ?? 0) - (assignedAt ?? 0)),
      span((finishedAt ?? 0) - (startedAt ?? 0)),
      `${/^# pass\s+(\d+)/m.exec(tap)?.[1] ?? 0} passed`,
      `${job.artifacts.length} (${job.artifacts.reduce((sum, each) => sum + each.size, 0)} bytes)`,
    ]);
  }
  process.stdout.write('\n');
  printTable(['PACKAGE', 'RESULT', 'QUEUED', 'STARTED IN', 'RAN', 'TESTS', 'ARTIFACTS'], rows);
  for (const job of jobs.filter((each) => each.outcome !== 'succeeded')) {
    const response = await client.send('jobLog', { params: { id: job.id }, query: {} });
    process.stdout.write(
      `\n${job.title} ${job.outcome} ${job.reason ?? ''}\n${await response.text()}`,
    );
  }
  return jobs.every((job) => job.outcome === 'succeeded');
}

const data = await mkdtemp(join(tmpdir(), 'pomona-demo-'));
// Workers have users of their own, who pass through it.
await chmod(data, 0o711);
const { child, client } = await startUp(data);
let cleaned: Promise<void> | undefined;
const clean = () => (cleaned ??= tearDown(data, child, client));
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void clean().then(() => process.exit(130)));
}
try {
  const sandbox = await chooseSandbox(client);
  await say(client, sandbox);
  const spec = {
    name: 'demo',
    labels: ['demo'],
    ready: 2,
    ...(sandbox === undefined ? {} : { sandbox }),
  };
  await client.call('applyPool', { params: { name: 'demo' }, body: spec });
  process.stdout.write(`${PACKAGES.length} jobs, each in a fresh worker:\n\n`);
  const succeeded = await report(client, await runJobs(client, 'demo'), data);
  process.exitCode = succeeded ? 0 : 1;
} finally {
  await clean();
}
process.stdout.write(`
All of it is removed again: nothing runs, nothing lies about.

Try next:
  bin/pomona doctor                         what works on this machine, and what is chosen
  bin/pomona up                             a controller and an agent that stay; in another terminal:
  bin/pomona run -- uname -a
  bin/pomona run --source . --artifact 'dist/**' -- sh -c 'npm ci && npm run build'
  bin/pomona job list
`);
