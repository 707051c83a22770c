import type {
  BodyOutput,
  PathParams,
  QueryOutput,
  ResponseOf,
  ROUTES,
  RouteId,
} from '../../protocol/api/routes.ts';
import type { Principal } from '../auth.ts';

/** One request for an operation, parsed and allowed. */
export interface Call<Id extends RouteId> {
  readonly params: Readonly<Record<PathParams<(typeof ROUTES)[Id]['path']>, string>>;
  readonly query: QueryOutput<Id>;
  readonly body: BodyOutput<Id>;
  readonly principal: Extract<Principal, { kind: 'token' }>;
  readonly idempotencyKey: string | undefined;
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal;
}

/** Operations whose bodies are streams; the HTTP layer answers them itself. */
export const STREAM_ROUTES = ['jobLog', 'events', 'getArtifact', 'putSource'] as const;
export type StreamRouteId = (typeof STREAM_ROUTES)[number];

export type Handlers = {
  readonly [Id in Exclude<RouteId, StreamRouteId>]: (call: Call<Id>) => Promise<ResponseOf<Id>>;
};
