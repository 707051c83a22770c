import { Command } from 'commander';
import type { CiExplanation, CiJobView, IntegrationView } from '../protocol/api/ci-resources.ts';
import { clientFor, withConnection, type CommonOptions } from './options.ts';
import { ago, printJson, printTable } from './output.ts';

interface ExplainOptions extends CommonOptions {
  readonly integration?: string;
  readonly labels?: string;
  readonly source?: string;
  readonly event?: string;
  readonly fork?: boolean;
  readonly author?: string;
  readonly approved?: boolean;
}

export function command(): Command {
  const ci = new Command('ci').description('CI systems whose jobs run on workers');
  withConnection(ci.command('status [name]'))
    .description('how each integration is: what waits, what runs, what went wrong')
    .action(status);
  withConnection(ci.command('jobs <name>'))
    .description('jobs of a CI system that wait or run, and what they wait for')
    .action(jobs);
  withConnection(ci.command('explain'))
    .description('which pool a job would go to, and why')
    .option('--integration <name>', 'in this one alone')
    .option('--labels <list>', 'what the job asks for, such as macos-15,arm64')
    .option('--source <name>', 'repository, folder or builder that it comes from')
    .option('--event <name>', 'what set it off (default: push)')
    .option('--fork', 'its code comes from a fork')
    .option('--author <login>', 'who set it off')
    .option('--approved', 'somebody approved it')
    .addHelpText(
      'after',
      `
Examples:
  pomona ci explain --labels macos-15,arm64
  pomona ci explain --labels macos-15 --source team/app --event pull_request --fork`,
    )
    .action(explain);
  withConnection(ci.command('check <name>'))
    .description('try what an integration needs, and say which permission is missing')
    .action(check);
  withConnection(ci.command('pause <name>'))
    .description('make no more runners; what runs goes on')
    .action(async (name: string, options: CommonOptions) => {
      told(options, await (await clientFor(options)).call('pauseCi', { params: { name } }));
    });
  withConnection(ci.command('resume <name>'))
    .description('make runners again')
    .action(async (name: string, options: CommonOptions) => {
      told(options, await (await clientFor(options)).call('resumeCi', { params: { name } }));
    });
  return ci;
}

async function status(name: string | undefined, options: CommonOptions): Promise<void> {
  const { items } = await (await clientFor(options)).call('listIntegrations', {});
  const shown = items.filter((each) => name === undefined || each.name === name);
  if (options.json === true) return printJson(shown);
  if (shown.length === 0) {
    process.stdout.write(
      name === undefined
        ? 'there are no integrations; add `integrations` to pomona.yaml\n'
        : `there is no integration ${name}; \`pomona ci status\` shows all\n`,
    );
    if (name !== undefined) process.exitCode = 1;
    return;
  }
  printTable(
    [
      'NAME',
      'KIND',
      'STATE',
      'QUEUED',
      'RUNNING',
      'RUNNERS',
      'LOOKED',
      'EVENT',
      'BUDGET',
      'REASON',
    ],
    shown.map((each) => [
      ...[each.name, each.kind, each.state, String(each.jobs.queued), String(each.jobs.running)],
      ...[runnersText(each), each.lastLookAt === undefined ? 'never' : ago(each.lastLookAt)],
      each.lastEvent === undefined ? '' : `${each.lastEvent.what}, ${ago(each.lastEvent.at)}`,
      each.budget === undefined ? '' : `${each.budget.remaining} of ${each.budget.limit}`,
      each.reason ?? '',
    ]),
  );
  for (const each of shown) process.stdout.write(detailsOf(each));
}

function runnersText({ runners }: IntegrationView): string {
  const parts = Object.entries(runners).filter(([, count]) => count > 0);
  return parts.map(([phase, count]) => `${count} ${phase}`).join(', ') || 'none';
}

function detailsOf(view: IntegrationView): string {
  const { name, jobs, lastError, readyMs, startMs, webhook } = view;
  let text = webhook === undefined ? '' : `${name}: webhooks are taken at ${webhook}\n`;
  if (jobs.unroutable > 0) {
    text += `${name}: no pool takes ${jobs.unroutable} of the queued jobs; \`pomona ci jobs ${name}\` says why\n`;
  }
  if (readyMs !== undefined) text += `${name}: wish to ready runner ${times(readyMs)}\n`;
  if (startMs !== undefined) text += `${name}: event to job started ${times(startMs)}\n`;
  if (lastError !== undefined) {
    text += `${name}: last error, ${ago(lastError.at)}, ${lastError.what}: ${lastError.message}\n`;
  }
  return text;
}

function times({ p50, p95 }: { p50: number; p95: number }): string {
  return `${(p50 / 1000).toFixed(1)} s in half of the cases, ${(p95 / 1000).toFixed(1)} s in 95 of 100`;
}

async function jobs(name: string, options: CommonOptions): Promise<void> {
  const { items } = await (await clientFor(options)).call('listCiJobs', { params: { name } });
  if (options.json === true) return printJson(items);
  printTable(
    ['STATE', 'SOURCE', 'TITLE', 'LABELS', 'SINCE', 'POOL', 'TRUST', 'JOB', 'WHAT IT WAITS FOR'],
    items.map((job: CiJobView) => [
      ...[job.state, job.source, job.title, job.labels.join(',')],
      ...[ago(job.startedAt ?? job.queuedAt), job.pool ?? '', job.trust ?? '', job.jobId ?? ''],
      job.reason,
    ]),
  );
}

async function explain(options: ExplainOptions): Promise<void> {
  const { integration, labels, source, event, fork, author, approved } = options;
  const body = {
    ...(integration === undefined ? {} : { integration }),
    ...(labels === undefined ? {} : { labels: labels.split(',').map((label) => label.trim()) }),
    ...(source === undefined ? {} : { source }),
    ...(event === undefined ? {} : { event }),
    ...(fork === undefined ? {} : { fork }),
    ...(author === undefined ? {} : { author }),
    ...(approved === undefined ? {} : { approved }),
  };
  const { items } = await (await clientFor(options)).call('explainCi', { body });
  if (options.json === true) return printJson(items);
  if (items.length === 0) {
    process.stdout.write('there are no integrations; add `integrations` to pomona.yaml\n');
  }
  for (const item of items) process.stdout.write(explanationText(item));
}

function explanationText({ integration, summary, lines }: CiExplanation): string {
  const rows = lines.map(
    ({ what, takes, reason }) => `  ${takes ? '+' : '-'} ${what}: ${reason}\n`,
  );
  return `${integration}: ${summary}\n${rows.join('')}`;
}

async function check(name: string, options: CommonOptions): Promise<void> {
  const { items } = await (await clientFor(options)).call('checkCi', { params: { name } });
  if (items.some(({ ok }) => !ok)) process.exitCode = 1;
  if (options.json === true) return printJson(items);
  for (const { what, ok, detail } of items) {
    process.stdout.write(`${ok ? 'ok  ' : 'FAIL'} ${what}: ${detail}\n`);
  }
}

function told(options: CommonOptions, view: IntegrationView): void {
  if (options.json === true) return printJson(view);
  const why = view.reason === undefined ? '' : `: ${view.reason}`;
  process.stdout.write(`${view.name} is ${view.state}${why}\n`);
}
