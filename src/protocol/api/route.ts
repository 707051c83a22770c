import type { z } from 'zod';
import type { ProblemCode } from '../problem.ts';
import type { Role } from './resources.ts';

/**
 * One operation of the HTTP API. The server mounts it, the client is typed by it and the OpenAPI
 * document is made from it: there is no other description.
 */
export interface Route {
  readonly id: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Below `/api/v1`, with parameters as `{id}`. */
  readonly path: string;
  readonly summary: string;
  readonly description?: string;
  /** The least role that may call it. */
  readonly role: Role;
  /** Path parameters are always strings named in `path`. */
  readonly query?: z.ZodType;
  /** JSON body; or `binary` for a body of raw bytes. */
  readonly body?: z.ZodType | 'binary';
  /** Status of success. */
  readonly status: 200 | 201 | 202 | 204;
  /** JSON; `events` for server-sent events of `eventData`; `binary` for raw bytes; or nothing. */
  readonly response?: z.ZodType | 'events' | 'binary';
  /** Data of each server-sent event. */
  readonly eventData?: z.ZodType;
  /** Problems beyond those that every route may give. */
  readonly problems?: readonly ProblemCode[];
  /** Takes an `Idempotency-Key` header. */
  readonly idempotent?: boolean;
  /** It is not recorded who calls it: it changes nothing that is not told elsewhere. */
  readonly unaudited?: boolean;
  /** What its body says is not for the audit log. */
  readonly secret?: boolean;
}

/** Roles from least to most; each may do what those before it may. */
export const ROLE_ORDER: readonly Role[] = ['viewer', 'submitter', 'operator', 'admin'];

export function roleAllows(held: Role, needed: Role): boolean {
  return ROLE_ORDER.indexOf(held) >= ROLE_ORDER.indexOf(needed);
}
