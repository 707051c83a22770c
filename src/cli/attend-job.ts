import { openAsBlob } from 'node:fs';
import { exitCodeOf } from '../domain/job.ts';
import type { JobView } from '../protocol/api/resources.ts';
import type { ApiClient } from './api-client.ts';
import { ExitError } from './errors.ts';
import { fetchArtifacts } from './fetch-artifacts.ts';
import { readLog } from './job-log.ts';
import { printJson, span } from './output.ts';
import { packSource } from './pack-source.ts';

/** A job that waits this long is explained. */
const EXPLAIN_AFTER_MS = 2_000;

/** Packs and sends a directory; returns its digest. */
export async function sendSource(client: ApiClient, directory: string): Promise<string> {
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

export interface AttendOptions {
  /** Where its log goes. */
  readonly log: NodeJS.WriteStream;
  /** Print it as JSON when it is over. */
  readonly printJob: boolean;
  /** Bring back its artifacts to this directory. */
  readonly artifactsTo?: string;
}

/** Follows the job to its end, and ends as it ended: throws `ExitError`. */
export async function attend(
  client: ApiClient,
  submitted: JobView,
  { log, printJob, artifactsTo }: AttendOptions,
): Promise<void> {
  const { id } = submitted;
  const interrupted = cancelOnInterrupt(client, id);
  const waiting = new AbortController();
  const explaining = explainWait(client, id, waiting.signal);
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
  if (artifactsTo !== undefined) await fetchArtifacts(client, job, artifactsTo);
  if (printJob) printJson(job);
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
