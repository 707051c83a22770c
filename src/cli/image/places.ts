import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { openBlobs } from '../../drivers/blob/drivers.ts';
import { LocalImages } from '../../images/local-images.ts';
import { Repository } from '../../images/repository.ts';
import { Threads } from '../../images/work/threads.ts';
import { defaultDataDir } from '../../platform/data-dir.ts';

export interface ImageOptions {
  readonly data?: string;
  readonly agentData?: string;
  readonly json?: boolean;
}

export function withImages(command: Command): Command {
  return command
    .option('--data <dir>', 'data directory of `pomona up`')
    .option('--agent-data <dir>', 'data directory of `pomona agent run`')
    .option('--json', 'print JSON');
}

export const REMOTE_HELP = `
REMOTE is s3://bucket/prefix or file:///dir. For S3 the credentials come from where the AWS SDK
looks: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, the machine's role. Another server
than Amazon's is named by AWS_ENDPOINT_URL, or by s3://bucket/prefix?endpoint=https://s3.example.org.`;

/** The images of this host. */
export function imagesOf(options: ImageOptions): LocalImages {
  return new LocalImages(join(agentDirOf(options), 'images'));
}

/** The data directory of this host's agent. */
export function agentDirOf(options: ImageOptions): string {
  return resolve(options.agentData ?? join(options.data ?? defaultDataDir(), 'agent'));
}

/** Calls `work` with a remote, and closes it after. */
export async function withRemote<T>(
  location: string,
  work: (repository: Repository) => Promise<T>,
): Promise<T> {
  const blobs = await openBlobs(location);
  try {
    return await work(new Repository(blobs));
  } finally {
    blobs.close();
  }
}

/** Calls `work` with threads and a signal that the first Ctrl-C aborts. */
export async function withThreads<T>(
  work: (threads: Threads, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const threads = new Threads();
  const stop = new AbortController();
  const interrupted = () =>
    stop.abort(new Error('interrupted; the same command goes on from here'));
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    return await work(threads, stop.signal);
  } finally {
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
    await threads.close();
  }
}
