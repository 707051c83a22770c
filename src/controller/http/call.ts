import type {
  BodyOutput,
  PathParams,
  QueryOutput,
  ResponseOf,
  ROUTES,
  RouteId,
} from '../../protocol/api/routes.ts';
import type { Principal } from '../auth.ts';

export type TokenPrincipal = Extract<Principal, { kind: 'token' }>;
export type HostPrincipal = Extract<Principal, { kind: 'host' }>;

/** A call of one operation, checked against its description. */
export interface Call<Id extends RouteId> {
  readonly params: Readonly<Record<PathParams<(typeof ROUTES)[Id]['path']>, string>>;
  readonly query: QueryOutput<Id>;
  readonly body: BodyOutput<Id>;
  /** Who calls; its role allows the operation. */
  readonly principal: TokenPrincipal;
  readonly idempotencyKey: string | undefined;
  /** Aborts when the caller is gone and when the server stops; then answer soon. */
  readonly signal: AbortSignal;
}

/** Operations that the HTTP layer carries out itself, over its ports. */
export const STREAM_ROUTES = [
  'jobLog',
  'events',
  'live',
  'consoleRecording',
  'getArtifact',
  'putSource',
] as const;
export type StreamRouteId = (typeof STREAM_ROUTES)[number];

type Answer<Id extends RouteId> = ResponseOf<Id> extends undefined ? void : ResponseOf<Id>;

/** What each operation does. Throws `ProblemError` for what the caller should know. */
export type Handlers = {
  readonly [Id in Exclude<RouteId, StreamRouteId>]: (call: Call<Id>) => Promise<Answer<Id>>;
};
