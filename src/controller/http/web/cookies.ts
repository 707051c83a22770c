import type { IncomingMessage } from 'node:http';
import { parseCookie, stringifySetCookie } from 'cookie';

/** What browsers hold for the page. `__Host-`: of this origin alone, and only over TLS. */
const SESSION = 'pomona_session';
const SIGN_IN = 'pomona_sign_in';

/** Whether the page is served over TLS decides how cookies are called and sent. */
export interface CookieJar {
  sessionOf(request: IncomingMessage): string | undefined;
  signInOf(request: IncomingMessage): string | undefined;
  /** Values of `Set-Cookie`. */
  session(secret: string, maxAgeMs: number): string;
  noSession(): string;
  signIn(state: string, maxAgeMs: number): string;
  noSignIn(): string;
}

export function cookieJar(secure: boolean): CookieJar {
  const prefix = secure ? '__Host-' : '';
  const read = (request: IncomingMessage, name: string) =>
    parseCookie(request.headers.cookie ?? '')[prefix + name];
  const write = (name: string, value: string, maxAgeMs: number) =>
    stringifySetCookie({
      ...{ name: prefix + name, value, path: '/', httpOnly: true, secure },
      // Not `strict`: who comes from the identity provider, or by a link, is signed in at once.
      sameSite: 'lax',
      maxAge: Math.floor(maxAgeMs / 1000),
    });
  return {
    sessionOf: (request) => read(request, SESSION),
    signInOf: (request) => read(request, SIGN_IN),
    session: (secret, maxAgeMs) => write(SESSION, secret, maxAgeMs),
    noSession: () => write(SESSION, '', 0),
    signIn: (state, maxAgeMs) => write(SIGN_IN, state, maxAgeMs),
    noSignIn: () => write(SIGN_IN, '', 0),
  };
}
