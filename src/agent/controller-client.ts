import { createWriteStream } from 'node:fs';
import { rename, rm, type FileHandle } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import type { Controllers } from './controllers.ts';
import { limiter } from '../platform/limiter.ts';
import { IMAGE_TURNS_PATH, imageTurnsSchema, type ImageTurns } from '../protocol/image-turns.ts';
import { joinResponseSchema, JOIN_PATH } from '../protocol/join.ts';
import { problemSchema, type Problem } from '../protocol/problem.ts';

/** Thrown when the controller answers with an error. */
export class ControllerError extends Error {
  readonly code = 'controller';
  readonly status: number;
  /** Absent when what answered is not Pomona, such as a proxy. */
  readonly problem: Problem | undefined;
  constructor(status: number, message: string, problem?: Problem) {
    super(message);
    this.name = 'ControllerError';
    this.status = status;
    this.problem = problem;
  }

  /** Whether the same request may succeed later. */
  get retryable(): boolean {
    return this.status >= 500 || [408, 425, 429].includes(this.status);
  }
}

/** Thrown when a file of the worker cannot be read: sending it again cannot help. */
export class UnreadableError extends Error {
  readonly code = 'unreadable';
}

/** A request that moves little is given up, and tried again, after this long. */
const PATIENCE_MS = 60_000;
const READ_BYTES = 2 ** 18;
/** Jobs that send a part of their log at a time, whatever their number: each holds it in memory. */
const LOGS_AT_A_TIME = 4;

const storedSchema = z.object({ sha256: z.string() });

/** The bulk data of an agent: logs and artifacts to the controller, sources from it. */
export class ControllerClient {
  /** Reads and sends a part of a log when it is its turn. */
  readonly logTurn = limiter(LOGS_AT_A_TIME);
  readonly #controllers: Controllers;
  readonly #credential: string;

  constructor(controllers: Controllers, credential: string) {
    this.#controllers = controllers;
    this.#credential = credential;
  }

  /** Appends framed log bytes at `offset`. Returns where the next bytes belong. */
  async putLog(
    job: { jobId: string; jobEpoch: number },
    offset: number,
    bytes: Uint8Array<ArrayBuffer>,
    signal: AbortSignal,
  ): Promise<number> {
    const query = { epoch: String(job.jobEpoch), offset: String(offset) };
    const url = this.#url(`/agent/v1/jobs/${job.jobId}/log`, query);
    try {
      const patience = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]);
      await this.#fetch(url, { method: 'PUT', body: bytes, signal: patience });
      return offset + bytes.length;
    } catch (error) {
      const wanted = error instanceof ControllerError ? error.problem : undefined;
      if (wanted?.code === 'wrong_offset' && wanted.offset !== undefined) return wanted.offset;
      throw error;
    }
  }

  /** Sends one open file. Throws `UnreadableError` when it cannot be read to its end. */
  async putArtifact(
    job: { jobId: string; jobEpoch: number },
    path: string,
    file: FileHandle,
    signal: AbortSignal,
  ): Promise<void> {
    const query = { epoch: String(job.jobEpoch), path };
    const url = this.#url(`/agent/v1/jobs/${job.jobId}/artifacts`, query);
    const hash = createHash('sha256');
    let unreadable: UnreadableError | undefined;
    const body = (async function* () {
      const buffer = Buffer.allocUnsafe(READ_BYTES);
      for (let at = 0; ;) {
        const { bytesRead } = await file.read(buffer, 0, READ_BYTES, at).catch((cause: unknown) => {
          unreadable = new UnreadableError(`it cannot be read: ${(cause as Error).message}`);
          throw unreadable;
        });
        if (bytesRead === 0) return;
        at += bytesRead;
        const chunk = Buffer.from(buffer.subarray(0, bytesRead));
        hash.update(chunk);
        yield chunk;
      }
    })();
    let response: Response;
    try {
      response = await this.#fetch(url, { method: 'PUT', body, duplex: 'half', signal });
    } catch (error) {
      throw unreadable ?? error;
    }
    const { sha256 } = storedSchema.parse(await response.json());
    if (sha256 !== hash.digest('hex')) throw new Error('it arrived damaged');
  }

  /** Brings the job's source to `file`, whole and verified. */
  async getSource(
    job: { jobId: string; jobEpoch: number },
    digest: string,
    file: string,
    signal: AbortSignal,
  ): Promise<void> {
    const query = { epoch: String(job.jobEpoch) };
    const url = this.#url(`/agent/v1/jobs/${job.jobId}/source`, query);
    const response = await this.#fetch(url, { method: 'GET', signal });
    const hash = createHash('sha256');
    const hashing = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        hash.update(chunk);
        done(null, chunk);
      },
    });
    const temporary = `${file}.tmp`;
    try {
      const body = Readable.from(response.body ?? []);
      await pipeline(body, hashing, createWriteStream(temporary, { mode: 0o600 }), { signal });
      const got = `sha256:${hash.digest('hex')}`;
      if (got !== digest) throw new Error(`the source has digest ${got}, expected ${digest}`);
      await rename(temporary, file);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  /** Whose turn it is to bring images, and who gives chunks of them. */
  async imageTurns(images: readonly string[], signal: AbortSignal): Promise<ImageTurns> {
    const patience = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]);
    const body = JSON.stringify({ images });
    const headers = { 'content-type': 'application/json' };
    const url = this.#url(IMAGE_TURNS_PATH, {});
    const response = await this.#fetch(url, { method: 'POST', body, headers, signal: patience });
    return imageTurnsSchema.parse(await response.json());
  }

  #url(path: string, query: Record<string, string>): URL {
    const url = new URL(path, this.#controllers.current);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    return url;
  }

  async #fetch(url: URL, init: RequestInit): Promise<Response> {
    try {
      return await request(url, this.#credential, init);
    } catch (error) {
      // One that answers is there, whatever it says.
      const answered = error instanceof ControllerError;
      if (!answered) this.#controllers.failed(this.#controllers.current);
      throw error;
    }
  }
}

/** Trades a join token for a host's own credential. */
export async function joinFleet(controllerUrl: string, joinToken: string, name: string) {
  const response = await request(new URL(JOIN_PATH, controllerUrl), joinToken, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name }),
  });
  return joinResponseSchema.parse(await response.json());
}

async function request(url: URL, bearer: string, init: RequestInit): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set('authorization', `Bearer ${bearer}`);
  const response = await fetch(url, { ...init, headers });
  if (response.ok) return response;
  const text = await response.text();
  const problem = problemSchema.safeParse(parseJson(text));
  if (problem.success) {
    throw new ControllerError(response.status, problem.data.detail, problem.data);
  }
  const message = `${url.origin} answered ${response.status}: ${text.slice(0, 200)}`;
  throw new ControllerError(response.status, message);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
