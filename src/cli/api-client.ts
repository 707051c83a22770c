import { Backoff } from '../platform/backoff.ts';
import type { Problem } from '../protocol/problem.ts';
import {
  API_PREFIX,
  ROUTES,
  type BodyInput,
  type PathParams,
  type QueryInput,
  type ResponseOf,
  type RouteId,
} from '../protocol/api/routes.ts';
import type { Route } from '../protocol/api/route.ts';
import type { Connection } from './connection.ts';

/** How long a controller that does not answer is tried again. */
const PATIENCE_MS = 60_000;

/** Thrown when the controller answers with a problem. */
export class ApiError extends Error {
  readonly code = 'api';
  readonly problem: Problem;
  constructor(problem: Problem) {
    const places = (problem.errors ?? []).map((error) => `\n  ${error.path}: ${error.message}`);
    super(problem.detail + (places.length > 1 ? places.join('') : ''));
    this.name = 'ApiError';
    this.problem = problem;
  }
}

/** Thrown when no controller answers. */
export class UnreachableError extends Error {
  readonly code = 'unreachable';
}

export type CallOptions<Id extends RouteId> = {
  readonly idempotencyKey?: string;
  readonly signal?: AbortSignal;
  /** Try again while the controller cannot be reached, for at most a minute. */
  readonly patient?: boolean;
} & (PathParams<(typeof ROUTES)[Id]['path']> extends never
  ? { readonly params?: undefined }
  : { readonly params: Readonly<Record<PathParams<(typeof ROUTES)[Id]['path']>, string>> }) &
  (BodyInput<Id> extends undefined
    ? { readonly body?: undefined }
    : { readonly body: BodyInput<Id> }) & { readonly query?: QueryInput<Id> };

/** The HTTP API, typed by its routes. */
export class ApiClient {
  readonly connection: Connection;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  async call<Id extends RouteId>(id: Id, options: CallOptions<Id>): Promise<ResponseOf<Id>> {
    const { body, idempotencyKey } = options;
    const response = await this.send(id, {
      ...options,
      query: options.query as object | undefined,
      ...(body === undefined ? {} : { json: JSON.stringify(body) }),
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
      },
    });
    const text = await response.text();
    return (text === '' ? undefined : JSON.parse(text)) as ResponseOf<Id>;
  }

  /** One request whose answer is read by the caller. Throws `ApiError`, `UnreachableError`. */
  async send(
    id: RouteId,
    options: {
      readonly params?: Readonly<Record<string, string>> | undefined;
      readonly query?: object | undefined;
      readonly json?: string;
      readonly blob?: Blob;
      readonly headers?: Readonly<Record<string, string>>;
      readonly signal?: AbortSignal;
      readonly patient?: boolean;
    },
  ): Promise<Response> {
    const route: Route = ROUTES[id];
    const url = this.#url(route, options.params ?? {}, options.query ?? {});
    const patience = AbortSignal.timeout(PATIENCE_MS);
    const backoff = new Backoff(100, 2_000);
    for (;;) {
      try {
        return await this.#once(route, url, options);
      } catch (error) {
        const again =
          error instanceof UnreachableError ||
          (error instanceof ApiError && error.problem.code === 'not_ready');
        if (!again || options.patient !== true || patience.aborted) throw error;
        options.signal?.throwIfAborted();
        await backoff.wait(patience).catch(() => undefined);
      }
    }
  }

  async #once(
    route: Route,
    url: URL,
    options: Parameters<ApiClient['send']>[1],
  ): Promise<Response> {
    const payload = options.json ?? options.blob;
    let response: Response;
    try {
      response = await fetch(url, {
        method: route.method,
        headers: { ...options.headers, authorization: `Bearer ${this.connection.token}` },
        ...(payload === undefined ? {} : { body: payload }),
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
    } catch (cause) {
      options.signal?.throwIfAborted();
      throw new UnreachableError(
        `no controller answers at ${this.connection.url}; start one with \`pomona up\`, or set POMONA_URL`,
        { cause },
      );
    }
    if (response.ok) return response;
    const text = await response.text();
    let problem: Problem;
    try {
      problem = JSON.parse(text) as Problem;
    } catch {
      throw new UnreachableError(`${url.origin} answered ${response.status}: is it a controller?`);
    }
    throw new ApiError(problem);
  }

  #url(route: Route, params: Readonly<Record<string, string>>, query: object): URL {
    const path = route.path.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
      encodeURIComponent(params[name] ?? ''),
    );
    const url = new URL(API_PREFIX + path, this.connection.url);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    return url;
  }
}
