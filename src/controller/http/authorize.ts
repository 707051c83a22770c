import type { FastifyRequest } from 'fastify';
import type { Role } from '../../protocol/api/resources.ts';
import { roleAllows } from '../../protocol/api/route.ts';
import { ProblemError } from '../../protocol/problem.ts';
import type { Principal } from '../auth.ts';

export type Authenticate = (bearer: string) => Promise<Principal | undefined>;

/** The bearer token of a request. Throws `unauthenticated`. */
export function bearerOf(request: { headers: FastifyRequest['headers'] }): string {
  const match = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '');
  if (match?.[1] !== undefined) return match[1];
  throw new ProblemError(
    'unauthenticated',
    'send a token as `Authorization: Bearer TOKEN`; the CLI takes it from POMONA_TOKEN',
  );
}

/** The token's owner, if it may do what needs `role`. */
export async function authorizeRole(
  authenticate: Authenticate,
  request: FastifyRequest,
  role: Role,
): Promise<Extract<Principal, { kind: 'token' }>> {
  const principal = await authenticate(bearerOf(request));
  if (principal === undefined) {
    throw new ProblemError('unauthenticated', 'the token is unknown, revoked or expired');
  }
  if (principal.kind !== 'token') {
    throw new ProblemError('forbidden', "a host's credential may not use this part of the API");
  }
  if (!roleAllows(principal.role, role)) {
    throw new ProblemError(
      'forbidden',
      `token ${principal.name} has the role ${principal.role}; this needs ${role}`,
    );
  }
  return principal;
}

/** The host whose credential the request carries. */
export async function authorizeHost(
  authenticate: Authenticate,
  request: { headers: FastifyRequest['headers'] },
): Promise<Extract<Principal, { kind: 'host' }>> {
  const principal = await authenticate(bearerOf(request));
  if (principal === undefined) {
    throw new ProblemError('unauthenticated', "the host's credential is unknown or was revoked");
  }
  if (principal.kind !== 'host') {
    throw new ProblemError('forbidden', 'only agents may use this');
  }
  return principal;
}
