import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Role } from '../../../protocol/api/resources.ts';
import { ProblemError } from '../../../protocol/problem.ts';
import { requireRole } from '../access.ts';
import { readJson } from '../body.ts';
import type { WebPort } from '../ports.ts';
import { sendJson } from '../respond.ts';
import type { Serving } from '../serving.ts';
import { parseWith } from '../validate.ts';

/** Failed sign-ins are recorded this often at most: anybody can make them, in any number. */
const FAILURES_EVERY_MS = 1_000;

/** A way to the identity provider may take this long. */
const WAY_MS = 600_000;

const signInSchema = z.strictObject({ token: z.string().min(1).max(4096) });

/** Mounts how people sign in to the page and out of it. */
export function mountSignIn(app: FastifyInstance, serving: Serving): void {
  const { options, limits } = serving;
  const { web } = options;
  let failureAt = -Infinity;
  const failed = async (request: FastifyRequest) => {
    const now = performance.now();
    if (now - failureAt < FAILURES_EVERY_MS) return;
    failureAt = now;
    await told(web, request, { who: '?', role: 'viewer', action: 'signIn', status: 401 });
  };

  app.get(
    '/web/session',
    serving.watched('webSession', false, async (request, reply) => {
      const secret = web.cookies.sessionOf(request.raw);
      const who = secret === undefined ? undefined : await web.sessions.find(secret);
      const ways = { token: true, openid: web.openId?.issuer };
      if (secret === undefined || who === undefined) {
        return void sendJson(reply, 200, { signedIn: false, ways });
      }
      const csrf = web.csrfTokenOf(secret);
      const { name, role } = who;
      sendJson(reply, 200, { signedIn: true, name, role, csrf, fleet: web.fleet, ways });
    }),
  );

  app.post(
    '/web/session',
    serving.watched('signIn', false, async (request, reply) => {
      mustBeOurPage(request);
      const { token } = parseWith(signInSchema, await readJson(request.raw, limits), 'body');
      const session = await web.sessions.openWithToken(token.trim());
      if (session === undefined) {
        await failed(request);
        throw new ProblemError(
          'unauthenticated',
          'this is no API token that is valid now; make one with `pomona token create`',
        );
      }
      await begin(web, request, reply, session);
      reply.code(204).send();
    }),
  );

  app.delete(
    '/web/session',
    serving.watched('signOut', false, async (request, reply) => {
      await requireRole(options, request.raw, 'viewer');
      const secret = web.cookies.sessionOf(request.raw);
      if (secret !== undefined) await web.sessions.close(secret);
      reply.header('set-cookie', web.cookies.noSession()).code(204).send();
    }),
  );

  app.get(
    '/web/openid/start',
    serving.watched('openIdStart', false, async (request, reply) => {
      if (web.openId === undefined) throw noProvider();
      const { returnTo } = request.query as { returnTo?: unknown };
      try {
        const { location, state } = await web.openId.begin(ownPath(returnTo));
        reply.header('set-cookie', web.cookies.signIn(state, WAY_MS)).redirect(location, 302);
      } catch (error) {
        backToSignIn(web, reply, error);
      }
    }),
  );

  app.get(
    '/web/openid/callback',
    serving.watched('openIdCallback', false, async (request, reply) => {
      if (web.openId === undefined) throw noProvider();
      const query = new URLSearchParams(request.url.split('?')[1] ?? '');
      try {
        const state = web.cookies.signInOf(request.raw);
        const person = await web.openId.end(query, state);
        await begin(web, request, reply, await web.sessions.openFor(person));
        reply.redirect(person.returnTo, 302);
      } catch (error) {
        await failed(request);
        backToSignIn(web, reply, error);
      }
    }),
  );
}

/** The page says what went wrong, and offers the other ways. */
function backToSignIn(web: WebPort, reply: FastifyReply, error: unknown): void {
  if (!(error instanceof ProblemError)) throw error;
  const where = `/sign-in?problem=${encodeURIComponent(error.message)}`;
  reply.header('set-cookie', web.cookies.noSignIn()).redirect(where, 302);
}

async function begin(
  web: WebPort,
  request: FastifyRequest,
  reply: FastifyReply,
  { secret }: { readonly secret: string },
): Promise<void> {
  const who = await web.sessions.find(secret);
  if (who === undefined) throw new ProblemError('unauthenticated', 'the session ended at once');
  await told(web, request, { who: who.name, role: who.role, action: 'signIn', status: 204 });
  reply.header('set-cookie', [
    ...[web.cookies.session(secret, web.sessionMs), web.cookies.noSignIn()],
  ]);
}

function told(
  web: WebPort,
  request: FastifyRequest,
  deed: { who: string; role: Role; action: string; status: number },
): Promise<void> {
  return web.audit({ ...deed, target: '', detail: undefined, address: request.ip });
}

/** A form of another site could sign somebody in as somebody else. */
function mustBeOurPage(request: FastifyRequest): void {
  const site = request.headers['sec-fetch-site'];
  const { origin, host } = request.headers;
  const foreign =
    (site !== undefined && site !== 'same-origin') ||
    (origin !== undefined && hostOf(origin) !== host);
  if (foreign) throw new ProblemError('forbidden', 'expected a request of the page itself');
}

export function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

/** Where to go after signing in: a path of this page, whatever was asked. */
function ownPath(asked: unknown): string {
  const isOwn = typeof asked === 'string' && /^\/(?![/\\])[\x21-\x7e]*$/.test(asked);
  return isOwn ? asked : '/';
}

function noProvider(): ProblemError {
  return new ProblemError('not_found', 'no identity provider is configured; sign in with a token');
}
