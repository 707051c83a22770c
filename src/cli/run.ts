import { randomUUID } from 'node:crypto';
import { openAsBlob } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { exitCodeOf } from '../domain/job.ts';
import type { JobView } from '../protocol/api/resources.ts';
import { ApiError, UnreachableError, type ApiClient } from './api-client.ts';
import { ExitError, UsageError } from './errors.ts';
import { fetchArtifacts } from './fetch-artifacts.ts';
import { readLog } from './job-log.ts';
import {
  clientFor,
  collect,
  durationOption,
  integerOption,
  withConnection,
  type CommonOptions,
} from './options.ts';
import { printJson, span } from './output.ts';
import { packSource } from './pack-source.ts';

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
  readonly retries?: number;
  readonly title?: string;
  readonly detach?: boolean;
}

/** Pomona itself failed. */
const FAILED = 125;
/** A job that waits this long is explained. */
const EXPLAIN_AFTER_MS = 2_000;

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
    await attend(client, job, options);
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

async function sendSource(client: ApiClient, directory: string): Promise<string> {
  const packed = await packSource(directory);
  try {
    const { digest } = packed;
    const blob = await openAsBlob(packed.file);
    await client.send('putSource', {
      params: { digest },
      blob,
      headers: { 'content-type': 'application/octet-stream' },
      patient: true,
    });
    return digest;
  } finally {
    await packed.remove();
  }
}

/** Follows the job to its end, and ends as it ended. */
async function attend(client: ApiClient, submitted: JobView, options: RunOptions): Promise<void> {
  const { id } = submitted;
  const interrupted = cancelOnInterrupt(client, id);
  const waiting = new AbortController();
  const explaining = explainWait(client, id, waiting.signal);
  const log = options.json === true ? process.stderr : process.stdout;
  try {
    await readLog(client, id, { follow: true, signal: undefined }, async ({ data }) => {
      waiting.abort();
      if (!log.write(data)) await new Promise((resolve) => log.once('drain', resolve));
    });
  } finally {
    waiting.abort();
    await explaining;
  }
  const job = await client.call('getJob', { params: { id }, patient: true });
  if (options.artifact.length > 0) {
    await fetchArtifacts(client, job, options.output ?? join('pomona-artifacts', id));
  }
  if (options.json === true) printJson(job);
  interrupted.stop();
  const code = exitCodeOf(job.outcome ?? 'lost', job.exitCode);
  const told =
    job.outcome !== 'succeeded' && (job.outcome !== 'failed' || job.reason !== undefined);
  throw new ExitError(code, told ? `job ${id} ${sentence(job)}` : '');
}

function sentence(job: JobView): string {
  return `${job.outcome}${job.reason === undefined ? '' : `: ${job.reason}`}`;
}

/** The first interrupt cancels the job and waits for its end; the second leaves at once. */
function cancelOnInterrupt(client: ApiClient, id: string): { stop(): void } {
  let asked = false;
  const interrupt = (): void => {
    if (asked) process.exit(130);
    asked = true;
    process.stderr.write(`pomona: cancelling job ${id} (interrupt again to leave at once)\n`);
    client.call('cancelJob', { params: { id }, patient: true }).catch((error: unknown) => {
      process.stderr.write(`pomona: ${(error as Error).message}\n`);
      process.exit(130);
    });
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  return {
    stop() {
      process.off('SIGINT', interrupt);
      process.off('SIGTERM', interrupt);
    },
  };
}

async function explainWait(client: ApiClient, id: string, signal: AbortSignal): Promise<void> {
  const began = performance.now();
  let said = '';
  for (;;) {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, EXPLAIN_AFTER_MS);
      signal.addEventListener('abort', () => {
        clearTimeout(timer);
        resolve();
      });
    });
    if (signal.aborted) return;
    try {
      const why = await client.call('whyJob', { params: { id }, signal });
      if (why.state !== 'queued') return;
      // Times and counts in it change all the while; only another reason is news.
      const gist = why.summary.replaceAll(/[0-9]+/g, '');
      if (gist === said) continue;
      said = gist;
      const waited = span(performance.now() - began);
      process.stderr.write(`pomona: waiting for ${waited}. ${why.summary}\n`);
    } catch {
      // Only an explanation: the log's own reading finds out whether the controller is gone.
      continue;
    }
  }
}
