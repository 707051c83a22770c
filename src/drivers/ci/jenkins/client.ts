import { z } from 'zod';
import { CiError, type CiTools } from '../ci.ts';
import { CiHttp, type HttpAnswer } from '../http/http.ts';
import type { JenkinsSettings } from './settings.ts';

const crumbSchema = z.object({ crumb: z.string(), crumbRequestField: z.string() });

/** Asks a Jenkins. What changes something carries a crumb where Jenkins wants one. */
export class JenkinsClient {
  readonly http: CiHttp;
  /** Headers that prove a form to be ours; empty where Jenkins wants none. */
  #crumb: Readonly<Record<string, string>> | undefined;

  constructor(settings: JenkinsSettings, tools: CiTools) {
    this.http = new CiHttp({
      ...{ base: settings.url, clock: tools.clock, concurrency: 4 },
      headers: async () => {
        const token = await tools.secret(settings.tokenSecret);
        const basic = Buffer.from(`${settings.user}:${token}`).toString('base64');
        return { authorization: `Basic ${basic}` };
      },
    });
  }

  /** What only reads, with the fields that are asked for (`tree`). */
  async read<T>(
    path: string,
    tree: string,
    schema: z.ZodType<T>,
    what: string,
    signal: AbortSignal,
  ): Promise<T | undefined> {
    const url = `${path}/api/json?tree=${encodeURIComponent(tree)}`;
    const request = { path: url, schema, what, expected: [404] };
    return (await this.http.ask(request, signal)).value;
  }

  /** Does something. A crumb that is too old is asked for anew, once. */
  async post(
    request: {
      readonly path: string;
      readonly form?: Readonly<Record<string, string>>;
      readonly expected?: readonly number[];
      readonly what: string;
    },
    signal: AbortSignal,
  ): Promise<HttpAnswer<undefined>> {
    const before = this.#crumb;
    try {
      return await this.#post(request, signal);
    } catch (error) {
      const stale = error instanceof CiError && error.code === 'forbidden' && before !== undefined;
      if (!stale) throw error;
      this.#crumb = undefined;
      return this.#post(request, signal);
    }
  }

  async #post(
    { path, form = {}, expected = [], what }: Parameters<JenkinsClient['post']>[0],
    signal: AbortSignal,
  ): Promise<HttpAnswer<undefined>> {
    this.#crumb ??= await this.#newCrumb(signal);
    const headers = { 'content-type': 'application/x-www-form-urlencoded', ...this.#crumb };
    const text = new URLSearchParams(form).toString();
    // Jenkins answers what it did by sending the browser on.
    const request = { path, headers, text, what, expected: [302, 303, ...expected] };
    return this.http.ask({ method: 'POST', ...request }, signal);
  }

  async #newCrumb(signal: AbortSignal): Promise<Record<string, string>> {
    const what = 'a crumb of Jenkins';
    const path = 'crumbIssuer/api/json';
    const answer = await this.http.ask(
      { path, schema: crumbSchema, what, expected: [404] },
      signal,
    );
    if (answer.value === undefined) return {};
    const cookies = answer.headers.getSetCookie().map((cookie) => cookie.split(';')[0] ?? '');
    return {
      [answer.value.crumbRequestField]: answer.value.crumb,
      ...(cookies.length === 0 ? {} : { cookie: cookies.join('; ') }),
    };
  }
}
