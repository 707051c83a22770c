import type { IncomingMessage } from 'node:http';
import { roleAllows } from '../../protocol/api/route.ts';
import type { Role } from '../../protocol/api/resources.ts';
import { ProblemError } from '../../protocol/problem.ts';
import type { Principal } from '../auth.ts';
import type { HostPrincipal, TokenPrincipal } from './call.ts';
import type { ServerOptions, WebPort } from './ports.ts';

/** Answers 401 carry it (RFC 6750). */
export const CHALLENGE = { 'www-authenticate': 'Bearer realm="pomona"' } as const;

type Authenticator = Pick<ServerOptions, 'authenticate' | 'web'>;

/** Requests of the page that change something carry it: another site cannot know it. */
const CSRF_HEADER = 'pomona-csrf';

/** The bearer token of a request. Throws ProblemError `unauthenticated`. */
export function bearerOf(request: IncomingMessage): string {
  const match = /^bearer +([\x21-\x7e]{1,4096})$/i.exec(request.headers.authorization ?? '');
  if (match?.[1] !== undefined) return match[1];
  throw new ProblemError(
    'unauthenticated',
    'expected a header `Authorization: Bearer TOKEN` with an API token',
  );
}

/** The caller, who holds a token with at least this role. Throws ProblemError. */
export async function requireRole(
  authenticator: Authenticator,
  request: IncomingMessage,
  needed: Role,
): Promise<TokenPrincipal> {
  const principal = await requirePerson(authenticator, request);
  checkRole(principal, needed);
  return principal;
}

/** The caller, who holds a token of whatever role. Throws ProblemError. */
export async function requirePerson(
  authenticator: Authenticator,
  request: IncomingMessage,
): Promise<TokenPrincipal> {
  const principal = await authenticated(authenticator, request);
  if (principal.kind === 'token') return principal;
  throw new ProblemError(
    'forbidden',
    "this is a host's credential, which is for its agent; use an API token",
  );
}

/** Throws ProblemError `forbidden` unless the caller has at least this role. */
export function checkRole(principal: TokenPrincipal, needed: Role): void {
  if (!roleAllows(principal.role, needed)) {
    throw new ProblemError(
      'forbidden',
      `this needs the role ${needed}; ${principal.name} has the role ${principal.role}`,
    );
  }
}

/** The host whose agent calls. Throws ProblemError. */
export async function requireHost(
  authenticator: Authenticator,
  request: IncomingMessage,
): Promise<HostPrincipal> {
  const principal = await authenticated(authenticator, request);
  if (principal.kind === 'host') return principal;
  throw new ProblemError(
    'forbidden',
    "this is for agents: it needs a host's credential, not an API token",
  );
}

async function authenticated(
  authenticator: Authenticator,
  request: IncomingMessage,
): Promise<Principal> {
  const { web } = authenticator;
  const secret = web.cookies.sessionOf(request);
  if (request.headers.authorization === undefined && secret !== undefined) {
    return signedIn(web, request, secret);
  }
  const principal = await authenticator.authenticate(bearerOf(request));
  if (principal !== undefined) return principal;
  throw new ProblemError('unauthenticated', 'the token is unknown, expired or was revoked');
}

async function signedIn(
  web: WebPort,
  request: IncomingMessage,
  secret: string,
): Promise<TokenPrincipal> {
  const principal = await web.sessions.find(secret);
  if (principal === undefined) {
    throw new ProblemError('unauthenticated', 'you are signed out; sign in again');
  }
  const changes = request.method !== 'GET' && request.method !== 'HEAD';
  const given = request.headers[CSRF_HEADER];
  if (changes && (typeof given !== 'string' || !web.isCsrfToken(secret, given))) {
    throw new ProblemError(
      'forbidden',
      `expected the header ${CSRF_HEADER} of this session; load the page again`,
    );
  }
  return principal;
}
