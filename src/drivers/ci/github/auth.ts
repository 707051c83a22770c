import { createPrivateKey, createSign } from 'node:crypto';
import { z } from 'zod';
import { CiError, type CiTools } from '../ci.ts';
import { CiHttp } from '../http/http.ts';
import { levelPath, type GithubSettings } from './settings.ts';

const tokenSchema = z.object({ token: z.string().min(1), expires_at: z.iso.datetime() });
const installationSchema = z.object({ id: z.int() });

/** A token is asked for anew when it has less than this left. */
const MARGIN_MS = 300_000;
/** GitHub's clock may be behind ours by this much. */
const SKEW_S = 60;
const JWT_LIFE_S = 540;
const VERSION_HEADERS = {
  accept: 'application/vnd.github+json',
  'x-github-api-version': '2022-11-28',
  'user-agent': 'pomona',
} as const;

type Access = Pick<GithubSettings, 'api' | 'level' | 'credential'>;

/** Tokens for GitHub's API: the personal one, or those of an App's installation. */
export class GithubAuth {
  readonly #settings: Access;
  readonly #tools: CiTools;
  /** As the App itself, not as its installation. */
  readonly asApp: CiHttp;
  #token: { text: string; until: number; madeOf: string } | undefined;
  #asking: Promise<string> | undefined;

  constructor(settings: Access, tools: CiTools) {
    this.#settings = settings;
    this.#tools = tools;
    this.asApp = new CiHttp({
      base: settings.api,
      clock: tools.clock,
      headers: async () => ({
        ...VERSION_HEADERS,
        authorization: `Bearer ${await this.#appToken()}`,
      }),
    });
  }

  async headers(signal: AbortSignal): Promise<Record<string, string>> {
    return { ...VERSION_HEADERS, authorization: `Bearer ${await this.token(signal)}` };
  }

  /** Callers at the same time share one request. */
  async token(signal: AbortSignal): Promise<string> {
    const { credential } = this.#settings;
    if (credential.kind === 'token') return this.#tools.secret(credential.secret);
    const key = await this.#tools.secret(credential.keySecret);
    const known = this.#token;
    const now = this.#tools.clock.now();
    if (known?.madeOf === key && known.until - MARGIN_MS > now) return known.text;
    this.#asking ??= this.#newToken(key, signal).finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #newToken(key: string, signal: AbortSignal): Promise<string> {
    const id = await this.#installation(signal);
    const { token, expires_at: expires } = await this.asApp.get(
      {
        ...{ method: 'POST', path: `app/installations/${id}/access_tokens` },
        ...{ schema: tokenSchema, what: "a token of the App's installation" },
      },
      signal,
    );
    this.#token = { text: token, until: Date.parse(expires), madeOf: key };
    return token;
  }

  async #installation(signal: AbortSignal): Promise<number> {
    const { credential, level } = this.#settings;
    if (credential.kind === 'app' && credential.installation !== undefined) {
      return credential.installation;
    }
    const path = `${levelPath(level)}/installation`;
    const what = 'the installation of the App (it has to be installed there)';
    return (await this.asApp.get({ path, schema: installationSchema, what }, signal)).id;
  }

  /** A JSON web token signed by the App's key (RS256), which proves to be the App itself. */
  async #appToken(): Promise<string> {
    const { credential } = this.#settings;
    if (credential.kind !== 'app') throw new Error('there is no App');
    const pem = await this.#tools.secret(credential.keySecret);
    const now = Math.floor(this.#tools.clock.now() / 1000);
    const claims = { iat: now - SKEW_S, exp: now + JWT_LIFE_S, iss: credential.id };
    const signed = `${encode({ alg: 'RS256', typ: 'JWT' })}.${encode(claims)}`;
    try {
      const signature = createSign('sha256').update(signed).sign(createPrivateKey(pem));
      return `${signed}.${signature.toString('base64url')}`;
    } catch (cause) {
      const message = `the secret ${credential.keySecret} is no private key in PEM; set it to the file that GitHub gave`;
      throw new CiError('unauthorized', message, { cause });
    }
  }
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
