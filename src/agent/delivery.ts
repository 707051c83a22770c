import { open, type FileHandle } from 'node:fs/promises';
import type { JobResult } from '../domain/job.ts';
import { isMissing, writeJson } from '../platform/atomic-file.ts';
import { Backoff } from '../platform/backoff.ts';
import type { Logger } from '../platform/logger.ts';
import { DirectoryWatch } from '../platform/watch.ts';
import { findArtifacts, openArtifact } from './artifacts.ts';
import { ControllerError, UnreadableError, type ControllerClient } from './controller-client.ts';
import type { WorkFiles } from './runtime.ts';
import type { WorkerPaths } from './worker-dir.ts';

const CHUNK_BYTES = 2 ** 21;
const POLL_MS = 250;
/** Problems told one by one; the others are exact. */
const TOLD = 5;
/** What a result's reason may hold, with room to spare. */
const REASON_LENGTH = 4_000;

export interface DeliveryJob {
  readonly jobId: string;
  readonly jobEpoch: number;
}

/** What became of a thing to be sent. */
type Sent =
  | { readonly kind: 'sent' }
  | { readonly kind: 'refused'; readonly reason: string }
  /** Closed, or the job was given to another worker since: nobody wants it from here. */
  | { readonly kind: 'unwanted' };

/**
 * Brings one job's log to the controller while it grows, and at the end what is left of it and the
 * artifacts. Goes on where the controller says it stands, through lost connections and restarts of
 * either side. What cannot be delivered is told with the result; it never holds the result back.
 */
export class Delivery {
  readonly #client: ControllerClient;
  readonly #paths: WorkerPaths;
  readonly #job: DeliveryJob;
  readonly #log: Logger;
  readonly #stop = new AbortController();
  readonly #watch: DirectoryWatch;
  readonly #shipped: Promise<Sent>;
  /** Bytes of log that the controller has. */
  #offset = 0;
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
   * Returns once all that can be delivered is with the controller and delivered.json says so; or,
   * without that file, after `close` or when the job is not this worker's any more.
   */
  async finish(result: JobResult, files: WorkFiles | undefined, globs: readonly string[]) {
    this.#result = result;
    this.#watch.poke();
    const shipped = await this.#shipped;
    if (shipped.kind === 'unwanted') return;
    const problems = shipped.kind === 'refused' ? [`log incomplete: ${shipped.reason}`] : [];
    if (files !== undefined) {
      const sent = await this.#sendArtifacts(files.dir, globs);
      if (sent === undefined) return;
      const refused = files.problem === undefined ? sent : [files.problem, ...sent];
      if (refused.length > 0) problems.push(`artifacts not brought back: ${summary(refused)}`);
    }
    for (const problem of problems) this.#log.log('warn', problem, { job: this.#job.jobId });
    // The command's own outcome stands; what is missing is told with it.
    const reason = [...(result.reason === undefined ? [] : [result.reason]), ...problems].join(
      '; ',
    );
    const final: JobResult = {
      ...result,
      logBytes: Math.min(result.logBytes, this.#offset),
      ...(reason === '' ? {} : { reason: reason.slice(0, REASON_LENGTH) }),
    };
    await writeJson(this.#paths.delivered, final, { flush: true });
  }

  close(): void {
    this.#stop.abort();
    this.#watch.close();
  }

  /** What could not be brought, each with its reason; undefined when nobody wants it any more. */
  async #sendArtifacts(
    workDir: string,
    globs: readonly string[],
  ): Promise<readonly string[] | undefined> {
    const { paths, problems } = await findArtifacts(workDir, globs);
    const refused = [...problems];
    for (const path of paths) {
      const sent = await this.#sendArtifact(workDir, path);
      if (sent.kind === 'unwanted') return undefined;
      if (sent.kind === 'refused') refused.push(`${path}: ${sent.reason}`);
    }
    return refused;
  }

  async #sendArtifact(workDir: string, path: string): Promise<Sent> {
    let file: FileHandle;
    try {
      file = await openArtifact(workDir, path);
    } catch (error) {
      return { kind: 'refused', reason: (error as Error).message };
    }
    try {
      return await this.#persist(() =>
        this.#client.putArtifact(this.#job, path, file, this.#stop.signal),
      );
    } finally {
      await file.close();
    }
  }

  /** Sends the log as it grows, until its end is known and reached. Never throws. */
  async #ship(): Promise<Sent> {
    let file: FileHandle | undefined;
    try {
      while (!this.#stop.signal.aborted) {
        const ended = this.#result;
        if (ended !== undefined && this.#offset >= ended.logBytes) return { kind: 'sent' };
        file ??= await openIfThere(this.#paths.log);
        const before = this.#offset;
        const sent = await this.#persist(() => this.#sendLog(file));
        if (sent.kind !== 'sent') return sent;
        if (this.#offset !== before) continue;
        if (ended !== undefined) {
          const missing = ended.logBytes - this.#offset;
          return { kind: 'refused', reason: `its file lost its last ${missing} bytes` };
        }
        await this.#watch.next();
      }
      return { kind: 'unwanted' };
    } catch (error) {
      return { kind: 'refused', reason: (error as Error).message };
    } finally {
      await file?.close();
    }
  }

  /** Sends the next chunk, if there is one; few jobs at a time hold one in memory. */
  #sendLog(file: FileHandle | undefined): Promise<void> {
    return this.#client.logTurn(async () => {
      const bytes = await readFrom(file, this.#offset);
      if (bytes.length === 0) return;
      const { signal } = this.#stop;
      this.#offset = await this.#client.putLog(this.#job, this.#offset, bytes, signal);
    });
  }

  /** Repeats until it succeeds or cannot succeed. */
  async #persist(send: () => Promise<void>): Promise<Sent> {
    const backoff = new Backoff(50, 5_000);
    while (!this.#stop.signal.aborted) {
      try {
        await send();
        return { kind: 'sent' };
      } catch (error) {
        if (this.#stop.signal.aborted) break;
        if (error instanceof UnreadableError) return { kind: 'refused', reason: error.message };
        if (error instanceof ControllerError && isFinal(error)) {
          if (error.problem?.code === 'stale_epoch') break;
          return { kind: 'refused', reason: error.message };
        }
        this.#log.log('debug', 'a delivery is tried again', { job: this.#job.jobId, error });
        await backoff.wait(this.#stop.signal).catch(() => undefined);
      }
    }
    return { kind: 'unwanted' };
  }
}

/** Whether a credential is refused for good (401) is for the session to find out. */
function isFinal(error: ControllerError): boolean {
  return !error.retryable && error.status !== 401;
}

function summary(refused: readonly string[]): string {
  const more = refused.length > TOLD ? [`and ${refused.length - TOLD} more`] : [];
  return [...refused.slice(0, TOLD), ...more].join('; ');
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** The next bytes, at most one chunk; empty when there are none yet. */
async function readFrom(
  file: FileHandle | undefined,
  offset: number,
): Promise<Buffer<ArrayBuffer>> {
  const available = file === undefined ? 0 : (await file.stat()).size - offset;
  if (file === undefined || available <= 0) return Buffer.alloc(0);
  const buffer = Buffer.allocUnsafe(Math.min(available, CHUNK_BYTES));
  const { bytesRead } = await file.read(buffer, 0, buffer.length, offset);
  return buffer.subarray(0, bytesRead);
}
