import { z } from 'zod';
import { CiError, type CiTools } from '../ci.ts';
import { CiHttp } from '../http/http.ts';
import type { BuildbotSettings } from './settings.ts';

/** The parts of Buildbot's answers that are read. Names are Buildbot's. */

const requestSchema = z.object({
  buildrequestid: z.int(),
  builderid: z.int(),
  buildsetid: z.int(),
  submitted_at: z.number().nullish(),
});
export type BuildRequest = z.output<typeof requestSchema>;

const builderSchema = z.object({ builderid: z.int(), name: z.string() });

const workerSchema = z.object({
  workerid: z.int(),
  name: z.string(),
  connected_to: z.array(z.unknown()),
  configured_on: z.array(z.object({ builderid: z.int() })),
  paused: z.boolean().optional(),
  workerinfo: z.object({ host: z.string().nullish() }).nullish(),
});
export type Worker = z.output<typeof workerSchema>;

const buildSchema = z.object({
  number: z.int(),
  builderid: z.int(),
  workerid: z.int(),
});
export type Build = z.output<typeof buildSchema>;

const buildsetSchema = z.object({
  sourcestamps: z.array(z.object({ branch: z.string().nullish() })),
});

const jsonRpcSchema = z.object({
  error: z.object({ message: z.string() }).nullish(),
});

/** Branches of change requests: GitHub's, GitLab's, Gerrit's. */
const CHANGE_REQUEST = /^refs\/(pull|merge-requests|changes)\//;
const MOST_BUILDSETS = 5_000;

/** Asks a Buildbot master over its REST API, which the core has (`/api/v2`). */
export class BuildbotApi {
  readonly http: CiHttp;
  readonly #settings: BuildbotSettings;
  readonly #tools: CiTools;
  /** Of code that anybody may have written, by build set. */
  readonly #foreign = new Map<number, boolean>();
  #cookie: string | undefined;

  constructor(settings: BuildbotSettings, tools: CiTools) {
    this.#settings = settings;
    this.#tools = tools;
    this.http = new CiHttp({
      ...{ base: settings.url, clock: tools.clock, concurrency: 4 },
      headers: async () => (this.#cookie === undefined ? {} : { cookie: this.#cookie }),
    });
  }

  /** Requests that no worker has, oldest first. */
  async waiting(signal: AbortSignal): Promise<BuildRequest[]> {
    const path = 'api/v2/buildrequests?claimed=false&complete=false&order=buildrequestid';
    const schema = z.object({ buildrequests: z.array(requestSchema) });
    return (await this.#get(path, schema, 'the build requests', signal)).buildrequests;
  }

  async builders(signal: AbortSignal): Promise<ReadonlyMap<number, string>> {
    const schema = z.object({ builders: z.array(builderSchema) });
    const { builders } = await this.#get('api/v2/builders', schema, 'the builders', signal);
    return new Map(builders.map(({ builderid, name }) => [builderid, name]));
  }

  async workers(signal: AbortSignal): Promise<Worker[]> {
    const schema = z.object({ workers: z.array(workerSchema) });
    return (await this.#get('api/v2/workers', schema, 'the workers', signal)).workers;
  }

  async builds(signal: AbortSignal): Promise<Build[]> {
    const schema = z.object({ builds: z.array(buildSchema) });
    const path = 'api/v2/builds?complete=false';
    return (await this.#get(path, schema, 'the builds that run', signal)).builds;
  }

  /** Does its code come from a change request? Asked for once for a build set. */
  async isForeign(buildset: number, signal: AbortSignal): Promise<boolean> {
    const known = this.#foreign.get(buildset);
    if (known !== undefined) return known;
    const schema = z.object({ buildsets: z.array(buildsetSchema) });
    const what = `the build set ${buildset}`;
    const found = await this.#get(`api/v2/buildsets/${buildset}`, schema, what, signal);
    const stamps = found.buildsets.flatMap(({ sourcestamps }) => sourcestamps);
    const foreign = stamps.some(({ branch }) => CHANGE_REQUEST.test(branch ?? ''));
    this.#foreign.set(buildset, foreign);
    if (this.#foreign.size > MOST_BUILDSETS) this.#foreign.clear();
    return foreign;
  }

  /** Has a worker take no more builds, and disconnect when it has none. */
  async stop(worker: string, signal: AbortSignal): Promise<void> {
    const what = `stopping worker ${worker}`;
    const json = {
      jsonrpc: '2.0',
      id: 1,
      method: 'stop',
      params: { reason: 'it takes one build' },
    };
    const path = `api/v2/workers/${encodeURIComponent(worker)}`;
    const answer = await this.#loggedIn(signal, () =>
      this.http.get({ method: 'POST', path, json, schema: jsonRpcSchema, what }, signal),
    );
    if (answer.error === undefined || answer.error === null) return;
    throw new CiError('refused', `${what}: ${answer.error.message}`);
  }

  #get<T>(path: string, schema: z.ZodType<T>, what: string, signal: AbortSignal): Promise<T> {
    return this.#loggedIn(signal, () => this.http.get({ path, schema, what }, signal));
  }

  /** Logs in when the master wants that, and again when the log-in ran out. */
  async #loggedIn<T>(signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
    const { login } = this.#settings;
    if (login !== undefined && this.#cookie === undefined) await this.#logIn(signal);
    try {
      return await ask();
    } catch (error) {
      const out =
        error instanceof CiError && (error.code === 'forbidden' || error.code === 'unauthorized');
      if (login === undefined || !out) throw error;
      await this.#logIn(signal);
      return ask();
    }
  }

  async #logIn(signal: AbortSignal): Promise<void> {
    const { login } = this.#settings;
    if (login === undefined) return;
    const password = await this.#tools.secret(login.passwordSecret);
    const basic = Buffer.from(`${login.user}:${password}`).toString('base64');
    const answer = await this.http.ask(
      {
        ...{ path: 'auth/login', headers: { authorization: `Basic ${basic}` } },
        ...{ what: `the log-in of ${login.user}`, expected: [302] },
      },
      signal,
    );
    const cookies = answer.headers.getSetCookie().map((cookie) => cookie.split(';')[0] ?? '');
    this.#cookie = cookies.join('; ');
  }
}
