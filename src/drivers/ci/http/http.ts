import type { z } from 'zod';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../../platform/clock.ts';
import { limiter } from '../../../platform/limiter.ts';
import { CiError, type Budget } from '../ci.ts';
import { problemOf } from './problems.ts';

export interface HttpRequest<T> {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Below the base, or a whole URL. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  /** Sent as it is; its content type is in `headers`. */
  readonly text?: string;
  /** What the answer has to be; the rest of it is dropped. Absent: nobody reads it. */
  readonly schema?: z.ZodType<T>;
  /** Statuses beside 2xx that are answers, not errors. */
  readonly expected?: readonly number[];
  /** How long the answer may take, ms. */
  readonly timeoutMs?: number;
  /** What is asked for, for people: `the queue of Jenkins`. */
  readonly what: string;
  /** The answer is text, not JSON. */
  readonly plain?: boolean;
  /** Asks whether it changed since the last time; costs no budget when it did not. */
  readonly conditional?: boolean;
}

export interface HttpAnswer<T> {
  readonly status: number;
  readonly value: T | undefined;
  readonly headers: Headers;
}

export interface HttpOptions {
  readonly base: string;
  readonly clock: Clock;
  /** Headers of every request; asked for anew each time, for tokens that change. */
  headers(signal: AbortSignal): Promise<Readonly<Record<string, string>>>;
  /** Requests at the same time at most. */
  readonly concurrency?: number;
}

const TIMEOUT_MS = 30_000;
const TRIES = 3;
const RETRY_MS = 250;
/** Answers kept for conditional requests. */
const MOST_KEPT = 2_000;
/** An answer larger than this is not what was asked for. */
const MOST_BYTES = 64 * 1024 * 1024;

/**
 * Asks one CI system over HTTP: within its limits, with few requests at once, with answers that
 * did not change asked for conditionally. Reading and deleting is tried again after a failure of
 * the network or a 5xx; what makes something is not. Throws `CiError`.
 */
export class CiHttp {
  readonly #options: HttpOptions;
  readonly #inTurn: <T>(task: () => Promise<T>) => Promise<T>;
  /** Listings are many requests that nobody waits for: they hold up no other. */
  readonly #listing: <T>(task: () => Promise<T>) => Promise<T>;
  readonly #kept = new Map<string, { etag: string; body: string; headers: Headers }>();
  #budget: Budget | undefined;
  #limitedUntil = 0;

  constructor(options: HttpOptions) {
    this.#options = options;
    const half = Math.max(1, Math.floor((options.concurrency ?? 8) / 2));
    this.#inTurn = limiter(half);
    this.#listing = limiter(half);
  }

  /** What the last answer said of our limits. */
  get budget(): Budget | undefined {
    return this.#budget;
  }

  async ask<T = undefined>(request: HttpRequest<T>, signal: AbortSignal): Promise<HttpAnswer<T>> {
    const method = request.method ?? 'GET';
    const again = method === 'GET' || method === 'DELETE' || method === 'PUT';
    for (let left = again ? TRIES : 1; ; left -= 1) {
      try {
        const inTurn = request.conditional === true ? this.#listing : this.#inTurn;
        return await inTurn(() => this.#once(method, request, signal));
      } catch (error) {
        signal.throwIfAborted();
        if (left <= 1 || !(error instanceof CiError) || error.code !== 'unavailable') throw error;
      }
      await sleep(RETRY_MS * 2 ** (TRIES - left) * (0.5 + Math.random()), undefined, { signal });
    }
  }

  /** As `ask`, for an answer that has a value. */
  async get<T>(
    request: HttpRequest<T> & { readonly schema: z.ZodType<T> },
    signal: AbortSignal,
  ): Promise<T> {
    const { value } = await this.ask(request, signal);
    if (value !== undefined) return value;
    throw new CiError('bad_answer', `${request.what}: the answer was empty`);
  }

  async #once<T>(
    method: string,
    request: HttpRequest<T>,
    signal: AbortSignal,
  ): Promise<HttpAnswer<T>> {
    const { clock, base } = this.#options;
    if (clock.now() < this.#limitedUntil) throw this.#limited(request.what);
    const url = new URL(request.path, base.endsWith('/') ? base : `${base}/`).href;
    const kept = request.conditional === true ? this.#kept.get(url) : undefined;
    const headers = {
      accept: 'application/json',
      ...(request.json === undefined ? {} : { 'content-type': 'application/json' }),
      ...(await this.#options.headers(signal)),
      ...(kept === undefined ? {} : { 'if-none-match': kept.etag }),
      ...request.headers,
    };
    const limit = AbortSignal.timeout(request.timeoutMs ?? TIMEOUT_MS);
    const body = request.json === undefined ? request.text : JSON.stringify(request.json);
    let response: Response;
    let text: string;
    try {
      response = await fetch(url, {
        ...{ method, headers, redirect: 'manual', signal: AbortSignal.any([signal, limit]) },
        ...(body === undefined ? {} : { body }),
      });
      text = await textOf(response);
    } catch (cause) {
      signal.throwIfAborted();
      throw new CiError('unavailable', `${request.what}: ${whyNoAnswer(cause, limit, url)}`, {
        cause,
      });
    }
    this.#note(response);
    if (response.status === 304 && kept !== undefined) {
      return { status: 200, value: parsed(request, kept.body), headers: kept.headers };
    }
    const fine = response.ok || request.expected?.includes(response.status) === true;
    if (!fine) {
      const problem = problemOf(response, text, request.what, clock.now());
      if (problem.code === 'rate_limited') this.#limitedUntil = problem.retryAt ?? 0;
      throw problem;
    }
    if (request.conditional === true) this.#keep(url, response, text);
    return {
      status: response.status,
      value: response.ok ? parsed(request, text) : undefined,
      headers: response.headers,
    };
  }

  #limited(what: string): CiError {
    const seconds = Math.ceil((this.#limitedUntil - this.#options.clock.now()) / 1000);
    return new CiError('rate_limited', `${what}: the rate limit is spent for ${seconds} s`, {
      retryAt: this.#limitedUntil,
    });
  }

  #note(response: Response): void {
    const number = (name: string) => {
      const text = response.headers.get(name);
      return text === null ? undefined : Number(text);
    };
    const remaining = number('x-ratelimit-remaining');
    const limit = number('x-ratelimit-limit');
    const reset = number('x-ratelimit-reset');
    if (remaining === undefined || limit === undefined || reset === undefined) return;
    this.#budget = { remaining, limit, resetAt: reset * 1000 };
  }

  #keep(url: string, response: Response, body: string): void {
    const etag = response.headers.get('etag');
    this.#kept.delete(url);
    if (etag === null) return;
    this.#kept.set(url, { etag, body, headers: response.headers });
    if (this.#kept.size <= MOST_KEPT) return;
    const [oldest] = this.#kept.keys();
    if (oldest !== undefined) this.#kept.delete(oldest);
  }
}

async function textOf(response: Response): Promise<string> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of response.body ?? []) {
    bytes += piece.length;
    if (bytes > MOST_BYTES) throw new Error(`the answer has more than ${MOST_BYTES} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

function parsed<T>({ schema, what, plain }: HttpRequest<T>, text: string): T | undefined {
  if (schema === undefined || text === '') return undefined;
  let json: unknown;
  try {
    json = plain === true ? text : JSON.parse(text);
  } catch (cause) {
    const start = JSON.stringify(text.slice(0, 60));
    throw new CiError('bad_answer', `${what}: expected JSON, not ${start}`, { cause });
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const where = issue?.path.join('.') ?? '';
  throw new CiError('bad_answer', `${what}: the answer's ${where}: ${issue?.message}`);
}

function whyNoAnswer(cause: unknown, limit: AbortSignal, url: string): string {
  const { host } = new URL(url);
  if (limit.aborted) return `${host} did not answer in time`;
  const inner = (cause as { cause?: { code?: string; message?: string } }).cause;
  return `${host} cannot be asked: ${inner?.code ?? inner?.message ?? (cause as Error).message}`;
}
