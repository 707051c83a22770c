import { existsSync } from 'node:fs';
import { join } from 'node:path';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance } from 'fastify';
import { API_PREFIX } from '../../../protocol/api/routes.ts';
import { ProblemError } from '../../../protocol/problem.ts';
import type { Serving } from '../serving.ts';

/** Nothing but what this origin serves: no inline script or style, no frames, no forms elsewhere. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
  "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; " +
  "frame-ancestors 'none'";
/** Terminals and screens make their style sheets as they go: they have a document of their own. */
const CONSOLE_POLICY = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'");

const COMMON = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'permissions-policy': 'camera=(), microphone=(), geolocation=()',
} as const;

/** Files whose names carry the hash of their content. */
const FOREVER = 'public, max-age=31536000, immutable';

/** What is not the page's: requests there that match nothing are told so. */
const NOT_PAGES = ['/api/', '/agent/', '/web/', '/webhooks/', '/assets/'];

/** Mounts the dashboard, built into the directory; without one, `/` says how to build it. */
export async function mountPage(app: FastifyInstance, serving: Serving): Promise<void> {
  const { dir } = serving.options.web;
  if (dir === undefined || !existsSync(join(dir, 'index.html'))) {
    app.get(
      '/',
      serving.watched('page', false, async () => {
        throw new ProblemError(
          'not_found',
          `the dashboard was not built into this copy of Pomona (\`npm run build\`); the API is at ${API_PREFIX}/docs`,
        );
      }),
    );
    return;
  }
  await app.register(fastifyStatic, {
    ...{ root: dir, wildcard: false, serve: false, preCompressed: true, cacheControl: false },
    setHeaders(response, path) {
      const isPage = path.includes('.html');
      for (const [name, value] of Object.entries(COMMON)) response.header(name, value);
      response.header('cache-control', isPage ? 'no-cache' : FOREVER);
      if (!isPage) return;
      const isConsole = path.includes('console.html');
      response.header('content-security-policy', isConsole ? CONSOLE_POLICY : POLICY);
    },
  });
  app.get('/assets/:file', async (request, reply) => {
    const { file = '' } = request.params as Record<string, string>;
    if (!/^[\w.-]+$/.test(file)) return reply.callNotFound();
    return reply.sendFile(join('assets', file), dir);
  });
  app.get('/console/*', (_request, reply) => reply.sendFile('console.html', dir));
  // The page finds its way itself by the address.
  app.get('/*', async (request, reply) => {
    const path = request.url.split('?')[0] ?? '';
    if (NOT_PAGES.some((each) => path.startsWith(each))) return reply.callNotFound();
    return reply.sendFile('index.html', dir);
  });
}
