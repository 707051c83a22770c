import { z } from 'zod';
import { CiError, type CiTools } from '../ci.ts';
import { CiHttp, type HttpRequest } from '../http/http.ts';
import { registrationSchema, registrationTokenSchema } from './scale-set-wire.ts';
import { levelPath, levelUrl, type GithubSettings } from './settings.ts';

/** The token is asked for anew this long before it ends. */
const MARGIN_MS = 60_000;
/** How long a token is used whose end cannot be read. */
const UNKNOWN_LIFE_MS = 600_000;
const claimsSchema = z.object({ exp: z.number() });

interface Access {
  readonly http: CiHttp;
  readonly until: number;
}

/** The way to the service behind scale sets: its address and its token, from a registration. */
export class ScaleSetAccess {
  readonly #settings: GithubSettings;
  readonly #tools: CiTools;
  readonly #http: CiHttp;
  #access: Access | undefined;

  constructor(settings: GithubSettings, tools: CiTools, http: CiHttp) {
    this.#settings = settings;
    this.#tools = tools;
    this.#http = http;
  }

  async ask<T>(
    request: HttpRequest<T> & { readonly schema: z.ZodType<T> },
    signal: AbortSignal,
  ): Promise<T> {
    const answer = await this.#answer(request, signal);
    if (answer.value !== undefined) return answer.value;
    throw new CiError('bad_answer', `${request.what}: the answer was empty`);
  }

  async tell(request: HttpRequest<undefined>, signal: AbortSignal): Promise<void> {
    await this.#answer(request, signal);
  }

  /** Once more with a new token when the old one is not accepted any more. */
  async #answer<T>(request: HttpRequest<T>, signal: AbortSignal) {
    const versioned = { ...request, path: withVersion(request.path) };
    const before = this.#access;
    try {
      return await (await this.#current(signal)).ask(versioned, signal);
    } catch (error) {
      const stale = error instanceof CiError && error.code === 'unauthorized';
      if (!stale || before === undefined) throw error;
      this.#access = undefined;
      return (await this.#current(signal)).ask(versioned, signal);
    }
  }

  async #current(signal: AbortSignal): Promise<CiHttp> {
    const now = this.#tools.clock.now();
    if (this.#access !== undefined && this.#access.until - MARGIN_MS > now)
      return this.#access.http;
    const path = `${levelPath(this.#settings.level)}/actions/runners/registration-token`;
    const { token } = await this.#http.get(
      { method: 'POST', path, schema: registrationTokenSchema, what: 'a registration token' },
      signal,
    );
    const registration = await this.#http.get(
      {
        ...{ method: 'POST', path: 'actions/runner-registration' },
        headers: { authorization: `RemoteAuth ${token}` },
        json: { url: levelUrl(this.#settings), runner_event: 'register' },
        ...{ schema: registrationSchema, what: 'the address of the scale-set service' },
      },
      signal,
    );
    const http = new CiHttp({
      ...{ base: registration.url, clock: this.#tools.clock },
      headers: async () => ({ authorization: `Bearer ${registration.token}` }),
    });
    this.#access = { http, until: endOf(registration.token) ?? now + UNKNOWN_LIFE_MS };
    return http;
  }
}

function withVersion(path: string): string {
  if (path.includes('api-version=')) return path;
  return `${path}${path.includes('?') ? '&' : '?'}api-version=6.0-preview`;
}

/** When a JSON web token ends, by its own claim. */
function endOf(token: string): number | undefined {
  try {
    const claims = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8');
    return claimsSchema.parse(JSON.parse(claims)).exp * 1000;
  } catch {
    return undefined;
  }
}
