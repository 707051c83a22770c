import type {
  BodyInput,
  PathParams,
  QueryInput,
  ResponseOf,
  ROUTES,
  RouteId,
} from '../../../src/protocol/api/routes.ts';
import type { Problem } from '../../../src/protocol/problem.ts';
import { csrfToken, signedOut } from './session.ts';

export const API = '/api/v1';

type Routes = typeof ROUTES;
/** Operations that answer with JSON, or with nothing. */
export type JsonRouteId = {
  [Id in RouteId]: Routes[Id] extends { response: 'events' | 'binary' } ? never : Id;
}[RouteId];

type Params<Id extends RouteId> = Record<PathParams<Routes[Id]['path']>, string>;
type Input<Id extends RouteId> = ([PathParams<Routes[Id]['path']>] extends [never]
  ? { readonly params?: undefined }
  : { readonly params: Params<Id> }) &
  (undefined extends QueryInput<Id>
    ? { readonly query?: undefined }
    : { readonly query?: QueryInput<Id> }) &
  (undefined extends BodyInput<Id>
    ? { readonly body?: undefined }
    : { readonly body: BodyInput<Id> }) & {
    readonly signal?: AbortSignal;
  };

/** What the controller says went wrong, and where. */
export class ApiError extends Error {
  readonly problem: Problem | undefined;
  readonly status: number;
  constructor(status: number, message: string, problem?: Problem) {
    super(message);
    this.status = status;
    this.problem = problem;
  }
}

/**
 * Calls one operation. Its method and path are those that the types say for its id. Throws `ApiError`,
 * and what `fetch` throws when the controller does not answer.
 */
export async function call<Id extends JsonRouteId>(
  _id: Id,
  method: Routes[Id]['method'],
  path: Routes[Id]['path'],
  input: Input<Id>,
): Promise<ResponseOf<Id>> {
  const { params, query, body, signal } = input as {
    params?: Record<string, string>;
    query?: Record<string, unknown>;
    body?: unknown;
    signal?: AbortSignal;
  };
  const filled = path.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
    encodeURIComponent(params?.[name] ?? ''),
  );
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== '') search.set(name, String(value));
  }
  const tail = search.size === 0 ? '' : `?${search}`;
  const response = await fetch(`${API}${filled}${tail}`, {
    method,
    headers: {
      accept: 'application/json',
      ...(method === 'GET' ? {} : { 'pomona-csrf': csrfToken() }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(signal === undefined ? {} : { signal }),
  });
  if (!response.ok) throw await errorOf(response);
  return (response.status === 204 ? undefined : await response.json()) as ResponseOf<Id>;
}

export async function errorOf(response: Response): Promise<ApiError> {
  if (response.status === 401) signedOut();
  const problem = (await response.json().catch(() => undefined)) as Problem | undefined;
  const message = problem?.detail ?? `the controller answered ${response.status}`;
  return new ApiError(response.status, message, problem);
}

/** What to tell people of a failure, in one sentence. */
export function messageOf(error: unknown): string {
  if (error instanceof ApiError) return error.message;
  if (error instanceof TypeError)
    return 'The controller does not answer. It is tried again by itself; is it running?';
  return error instanceof Error ? error.message : String(error);
}
