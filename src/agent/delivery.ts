import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { JobResult } from '../domain/job.ts';
import { isMissing, writeJson } from '../platform/atomic-file.ts';
import { Backoff } from '../platform/backoff.ts';
import type { Logger } from '../platform/logger.ts';
import { DirectoryWatch } from '../platform/watch.ts';
import { findArtifacts } from './artifacts.ts';
import { ControllerError, type ControllerClient } from './controller-client.ts';
import type { WorkerPaths } from './worker-dir.ts';

const CHUNK_BYTES = 2 ** 21;
const POLL_MS = 250;

export interface DeliveryJob {
  readonly jobId: string;
  readonly jobEpoch: number;
}

/**
 * Brings one job's log to the controller while it grows, and at the end what is left of it and the
 * artifacts. Goes on where the controller says it stands, through lost connections and restarts of
 * either side.
 */
export class Delivery {
  readonly #client: ControllerClient;
  readonly #paths: WorkerPaths;
  readonly #job: DeliveryJob;
  readonly #log: Logger;
  readonly #stop = new AbortController();
  readonly #watch: DirectoryWatch;
  readonly #shipped: Promise<boolean>;
  #result: JobResult | undefined;

  constructor(client: ControllerClient, paths: WorkerPaths, job: DeliveryJob, log: Logger) {
    this.#client = client;
    this.#paths = paths;
    this.#job = job;
    this.#log = log;
    this.#watch = new DirectoryWatch(paths.dir, POLL_MS, (name) => name === 'log');
    this.#shipped = this.#ship();
  }

  /**
   * Returns once the whole log and the artifacts are with the controller and delivered.json says
   * so; or at once after `close`.
   */
  async finish(result: JobResult, workDir: string | undefined, globs: readonly string[]) {
    this.#result = result;
    this.#watch.poke();
    if (!(await this.#shipped)) return;
    let final = result;
    try {
      const found = workDir === undefined ? [] : await findArtifacts(workDir, globs);
      for (const path of found) {
        const file = join(workDir ?? '', path);
        const sent = await this.#persist(() =>
          this.#client.putArtifact(this.#job, path, file, this.#stop.signal),
        );
        if (!sent) return;
      }
    } catch (error) {
      // The command's own outcome stands; that an artifact is missing is told with it.
      const reason = `artifacts not brought back: ${(error as Error).message}`;
      final = { ...result, reason: result.reason ?? reason };
      this.#log.log('warn', reason, { job: this.#job.jobId });
    }
    await writeJson(this.#paths.delivered, final, { flush: true });
  }

  close(): void {
    this.#stop.abort();
    this.#watch.close();
  }

  /** True when all of the log arrived; false when the delivery ended before. */
  async #ship(): Promise<boolean> {
    let file: FileHandle | undefined;
    let offset = 0;
    const buffer = Buffer.alloc(CHUNK_BYTES);
    try {
      while (!this.#stop.signal.aborted) {
        const result = this.#result;
        if (result !== undefined && offset >= result.logBytes) return true;
        file ??= await openIfThere(this.#paths.log);
        const read = await file?.read(buffer, 0, CHUNK_BYTES, offset);
        if (read === undefined || read.bytesRead === 0) {
          await this.#watch.next();
          continue;
        }
        const bytes = buffer.subarray(0, read.bytesRead);
        const at = offset;
        const sent = await this.#persist(async () => {
          offset = await this.#client.putLog(this.#job, at, bytes, this.#stop.signal);
        });
        if (!sent) return false;
      }
      return false;
    } finally {
      await file?.close();
    }
  }

  /** Repeats until it succeeds; false when the result is not wanted any more, or after `close`. */
  async #persist(send: () => Promise<void>): Promise<boolean> {
    const backoff = new Backoff(50, 5_000);
    while (!this.#stop.signal.aborted) {
      try {
        await send();
        return true;
      } catch (error) {
        if (this.#stop.signal.aborted) return false;
        if (error instanceof ControllerError && isFinal(error)) {
          this.#log.log('warn', 'the controller refuses what a job delivers', {
            job: this.#job.jobId,
            problem: error.problem.code,
          });
          if (error.problem.code === 'stale_epoch') return false;
          throw error;
        }
        await backoff.wait(this.#stop.signal).catch(() => undefined);
      }
    }
    return false;
  }
}

function isFinal(error: ControllerError): boolean {
  const { status } = error.problem;
  return status >= 400 && status < 500 && status !== 401;
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
