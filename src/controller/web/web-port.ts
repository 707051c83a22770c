import { insertAudit } from '../../db/queries/audit.ts';
import type { Context } from '../context.ts';
import { cookieJar } from '../http/web/cookies.ts';
import type { WebPort } from '../http/ports.ts';
import type { Secrets } from '../secrets.ts';
import { OpenId, type OpenIdOptions } from './openid.ts';
import { csrfTokenOf, isCsrfToken, SESSION_MS, WebSessions } from './web-sessions.ts';

export interface DashboardOptions {
  /** The page as it was built. */
  readonly dir: string | undefined;
  /** Where people open it; absent: nobody said. */
  readonly url?: string;
  /** Only together with `url`. */
  readonly signIn?: OpenIdOptions;
}

/** What the HTTP layer asks of sessions, sign-ins and the audit log. */
export function webPort(
  context: Context,
  secrets: Secrets,
  { dir, url, signIn }: DashboardOptions,
): WebPort {
  return {
    ...{ dir, fleet: context.fleet, csrfTokenOf, isCsrfToken, sessionMs: SESSION_MS },
    cookies: cookieJar(url?.startsWith('https:') === true),
    sessions: new WebSessions(context),
    openId:
      signIn === undefined || url === undefined
        ? undefined
        : new OpenId(context, secrets, signIn, url),
    audit: ({ detail = null, ...deed }) =>
      insertAudit(context.db, { ...deed, detail, at: context.clock.now() }),
  };
}
