import { Command } from 'commander';
import type { JobView, Why } from '../protocol/api/resources.ts';
import { JOB_STATES, type JobState } from '../domain/job.ts';
import { UsageError } from './errors.ts';
import { readLog } from './job-log.ts';
import { clientFor, integerOption, withConnection, type CommonOptions } from './options.ts';
import { ago, printJson, printTable, size, span } from './output.ts';
import { writeOut } from './standard-output.ts';
import { collectPages } from './pages.ts';

export function command(): Command {
  const job = new Command('job').description('look at jobs');
  withConnection(job.command('list'))
    .description('list jobs, newest first')
    .option('--state <state>', `only ${JOB_STATES.join(', ')}`)
    .option('--pool <pool>', 'only of this pool')
    .option('--limit <n>', 'at most this many', integerOption, 50)
    .action(list);
  withConnection(job.command('show <id>')).description('show a job').action(show);
  withConnection(job.command('logs <id>'))
    .description('print what a job printed')
    .option('-f, --follow', 'go on until the job is finished')
    .option('--timestamps', 'begin each piece with its time')
    .action(logs);
  withConnection(job.command('cancel <id>')).description('cancel a job').action(cancel);
  withConnection(job.command('why <id>'))
    .description('say what a queued job waits for')
    .addHelpText(
      'after',
      '\nEvery pool and every host is listed with the reason it was not chosen.',
    )
    .action(why);
  return job;
}

async function list(
  options: CommonOptions & { state?: string; pool?: string; limit: number },
): Promise<void> {
  if (options.state !== undefined && !JOB_STATES.includes(options.state as JobState)) {
    throw new UsageError(`--state expects one of ${JOB_STATES.join(', ')}, not ${options.state}`);
  }
  const client = await clientFor(options);
  if (options.limit < 1) throw new UsageError('--limit expects at least 1');
  const [state, pool] = [options.state as JobState, options.pool];
  const { items, more } = await collectPages(options.limit, (page) =>
    client.call('listJobs', { query: { ...page, state, pool } }),
  );
  if (options.json === true) return printJson(items);
  printTable(
    ['ID', 'STATE', 'HOST', 'SUBMITTED', 'RAN', 'COMMAND'],
    items.map((job) => [
      job.id,
      job.outcome ?? job.state,
      job.hostName,
      ago(job.submittedAt),
      job.startedAt === undefined
        ? undefined
        : span((job.finishedAt ?? Date.now()) - job.startedAt),
      job.title ?? job.command.join(' '),
    ]),
  );
  if (more) process.stderr.write(`There are more: --limit ${options.limit * 2}\n`);
}

async function show(id: string, options: CommonOptions): Promise<void> {
  const client = await clientFor(options);
  const job = await client.call('getJob', { params: { id } });
  if (options.json === true) return printJson(job);
  printTable(['FIELD', 'VALUE'], fieldsOf(job));
}

function fieldsOf(job: JobView): [string, string | undefined][] {
  return [
    ['id', job.id],
    ['state', job.outcome === undefined ? job.state : `${job.state}: ${job.outcome}`],
    ['exit code', job.exitCode?.toString()],
    ['reason', job.reason],
    ['title', job.title],
    ['command', job.command.join(' ')],
    ['pool', job.pool],
    ['labels', job.labels.join(', ') || undefined],
    ['host', job.hostName],
    ['worker', job.workerId],
    ['hand-overs', String(job.epoch)],
    ['waited', job.startedAt === undefined ? undefined : span(job.startedAt - job.submittedAt)],
    [
      'ran',
      job.startedAt === undefined
        ? undefined
        : span((job.finishedAt ?? Date.now()) - job.startedAt),
    ],
    ['log', size(job.logBytes)],
    ...job.artifacts.map((artifact): [string, string] => [
      'artifact',
      `${artifact.path} (${size(artifact.size)})`,
    ]),
  ];
}

async function logs(
  id: string,
  options: CommonOptions & { follow?: boolean; timestamps?: boolean },
): Promise<void> {
  const client = await clientFor(options);
  await readLog(
    client,
    id,
    { follow: options.follow === true, signal: undefined },
    async (frame) => {
      const time = `${new Date(frame.time).toISOString()} `;
      await writeOut(
        options.timestamps === true ? Buffer.concat([Buffer.from(time), frame.data]) : frame.data,
      );
    },
  );
}

async function cancel(id: string, options: CommonOptions): Promise<void> {
  const client = await clientFor(options);
  const job = await client.call('cancelJob', { params: { id } });
  if (options.json === true) return printJson(job);
  const state = job.state === 'finished' ? `finished: ${job.outcome}` : 'being cancelled';
  process.stdout.write(`${id} is ${state}\n`);
}

async function why(id: string, options: CommonOptions): Promise<void> {
  const client = await clientFor(options);
  const answer = await client.call('whyJob', { params: { id } });
  if (options.json === true) return printJson(answer);
  process.stdout.write(`${answer.summary}\n`);
  const rows = whyRows(answer);
  if (rows.length === 0) return;
  process.stdout.write('\n');
  printTable(['POOL', 'HOST', 'REASON'], rows);
}

function whyRows(answer: Why): string[][] {
  return answer.pools.flatMap((pool) =>
    pool.hosts.length === 0
      ? [[pool.pool, '-', pool.reason]]
      : pool.hosts.map((host) => [pool.pool, host.host, host.reason]),
  );
}
