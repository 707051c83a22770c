import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { Command } from 'commander';
import { ApiError, UnreachableError } from './api-client.ts';
import { ExitError, UsageError } from './errors.ts';
import { attend, sendSource } from './attend-job.ts';
import {
  clientFor,
  collect,
  durationOption,
  integerOption,
  withConnection,
  type CommonOptions,
} from './options.ts';
import { printJson } from './output.ts';

interface RunOptions extends CommonOptions {
  readonly pool?: string;
  readonly label: string[];
  readonly env: string[];
  readonly secret: string[];
  readonly source?: string;
  readonly artifact: string[];
  readonly output?: string;
  readonly timeout?: number;
  readonly priority: number;
  readonly team?: string;
  readonly urgent?: boolean;
  readonly host?: string;
  readonly retries?: number;
  readonly title?: string;
  readonly detach?: boolean;
}

/** Pomona itself failed. */
const FAILED = 125;

export function command(): Command {
  return withConnection(new Command('run'))
    .description('run a command in a fresh worker, with its log, and exit as it exits')
    .argument('<command...>', 'the command and its arguments, after --')
    .option('--pool <pool>', 'pool to run in')
    .option('--label <label>', 'label its pool must have; may be repeated', collect, [])
    .option(
      '--env <name=value>',
      'environment variable; NAME alone takes the value here',
      collect,
      [],
    )
    .option('--secret <name>', 'secret as environment variable; may be repeated', collect, [])
    .option('--source <dir>', 'send a directory, without what .gitignore leaves out')
    .option('--artifact <glob>', 'files to bring back; may be repeated', collect, [])
    .option('--output <dir>', 'where artifacts go (default: pomona-artifacts/<job>)')
    .option('--timeout <duration>', 'end it after this time, such as 30m', durationOption)
    .option('--priority <n>', 'higher goes first', integerOption, 0)
    .option('--team <team>', 'whose share of the fleet it takes')
    .option('--urgent', 'go before all other jobs; for operators')
    .option('--host <host>', 'run on this host and no other')
    .option('--retries <n>', 'run again when it is lost after it may have started', integerOption)
    .option('--title <text>', 'what people see in lists')
    .option('--detach', 'print the id and leave')
    .passThroughOptions()
    .addHelpText(
      'after',
      `
Exit codes: the command's own; 124 it ran too long; 125 Pomona failed; 130 interrupted (which
cancels the job). With --json the job is printed at the end, and its log goes to standard error.

Examples:
  pomona run -- uname -a
  pomona run --source . --artifact 'dist/**' -- npm run build
  pomona run --pool mac --secret NPM_TOKEN --timeout 30m -- ./release.sh`,
    )
    .action(run);
}

async function run(argv: string[], options: RunOptions): Promise<void> {
  const env = environmentOf(options.env);
  try {
    const client = await clientFor(options);
    const source =
      options.source === undefined ? undefined : await sendSource(client, options.source);
    const job = await client.call('submitJob', {
      idempotencyKey: randomUUID(),
      patient: true,
      body: {
        command: argv,
        labels: options.label,
        env,
        secrets: options.secret,
        artifacts: options.artifact,
        priority: options.priority,
        ...(options.pool === undefined ? {} : { pool: options.pool }),
        ...(options.team === undefined ? {} : { team: options.team }),
        ...(options.urgent === true ? { urgent: true } : {}),
        ...(options.host === undefined ? {} : { host: options.host }),
        ...(source === undefined ? {} : { source }),
        ...(options.timeout === undefined ? {} : { timeoutMs: options.timeout }),
        ...(options.retries === undefined ? {} : { retries: options.retries }),
        ...(options.title === undefined ? {} : { title: options.title }),
      },
    });
    if (options.detach === true) {
      if (options.json === true) printJson(job);
      else process.stdout.write(`${job.id}\n`);
      return;
    }
    const artifactsTo =
      options.artifact.length === 0
        ? {}
        : { artifactsTo: options.output ?? join('pomona-artifacts', job.id) };
    await attend(client, job, {
      log: options.json === true ? process.stderr : process.stdout,
      printJob: options.json === true,
      ...artifactsTo,
    });
  } catch (error) {
    if (error instanceof ExitError || error instanceof UsageError) throw error;
    throw new ExitError(FAILED, explain(error));
  }
}

function explain(error: unknown): string {
  if (error instanceof ApiError || error instanceof UnreachableError) return error.message;
  return (error as Error).message;
}

function environmentOf(pairs: readonly string[]): Record<string, string> {
  const env: Record<string, string> = {};
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    const name = at < 0 ? pair : pair.slice(0, at);
    const value = at < 0 ? process.env[name] : pair.slice(at + 1);
    if (name === '') throw new UsageError(`--env expects NAME=VALUE, not ${pair}`);
    if (value === undefined) throw new UsageError(`--env ${name}: there is no such variable here`);
    env[name] = value;
  }
  return env;
}
