import assert from 'node:assert/strict';
import { createHash, createHmac, createVerify, randomUUID } from 'node:crypto';
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { create } from 'tar';
import { VendorSchema, type Matched } from '../vendor-schema.ts';
import { FakeWeb, type Answer, type Asked } from '../web.ts';
import { FakeChecks } from './checks.ts';
import { answerScaleSet, FakeScaleSets } from './scale-sets.ts';
import { FakeHub, type FakeJob, type FakeRunner } from './state.ts';

/** Where webhooks go, and what happens to them on the way. */
export interface Webhooks {
  readonly url: string;
  readonly secret: string;
  /** How often a delivery arrives; 0: it is lost. */
  copies?: (action: string, job: FakeJob) => number;
  /** How late it arrives, ms. */
  delay?: (action: string, job: FakeJob) => number;
}

export interface FakeGithubOptions {
  readonly organization: string;
  /** Its App: public key in PEM. */
  readonly app?: { readonly id: string; readonly publicKey: string };
  /** Personal access tokens that it accepts. */
  readonly tokens?: readonly string[];
  readonly port?: number;
  /** Which of GitHub's descriptions it is; that of Enterprise Server is below `/api/v3`. */
  readonly description?: 'api.github.com' | 'ghec' | 'ghes-3.19';
  /** Requests there are, before the limit is reached. */
  readonly budget?: number;
}

const POLL_MS = 2_000;

/**
 * Plays GitHub on loopback. Requests are checked against GitHub's published description of its API,
 * answers and webhooks are made from it. Runners connect to it as `runner.sh` does.
 */
export class FakeGithub {
  readonly hub = new FakeHub();
  readonly scaleSets = new FakeScaleSets(this.hub);
  readonly checks = new FakeChecks();
  /** Requests that do not agree with GitHub's description. */
  readonly violations: string[] = [];
  web!: FakeWeb;
  webhooks: Webhooks | undefined;
  budget: number;
  readonly #options: FakeGithubOptions;
  readonly #schema: VendorSchema;
  readonly #webhooks: VendorSchema;
  readonly #program: Buffer;
  readonly #installationTokens = new Set<string>();
  readonly #deliveries = new Set<Promise<void>>();

  static async start(options: FakeGithubOptions): Promise<FakeGithub> {
    const schema = await VendorSchema.load(
      `@octokit/openapi/generated/${options.description ?? 'api.github.com'}.json`,
    );
    const github = new FakeGithub(
      options,
      schema,
      await VendorSchema.load('@octokit/webhooks-schemas/schema.json'),
      await runnerProgram(),
    );
    github.web = await FakeWeb.start(
      (asked, gone) => github.#answer(below(asked, options), gone),
      options.port,
    );
    return github;
  }

  private constructor(
    options: FakeGithubOptions,
    schema: VendorSchema,
    webhooks: VendorSchema,
    program: Buffer,
  ) {
    this.#program = program;
    this.#options = options;
    this.#schema = schema;
    this.#webhooks = webhooks;
    this.checks.fill = (name, given) => webhooks.definition(name, given);
    this.budget = options.budget ?? 15_000;
    this.hub.onJob((action, job) => this.#deliver(action, job));
  }

  async close(): Promise<void> {
    await this.web.close();
    await Promise.all(this.#deliveries);
  }

  /** Waits until webhooks that are on their way have arrived. */
  async delivered(): Promise<void> {
    await Promise.all(this.#deliveries);
  }

  async #answer(asked: Asked, gone: AbortSignal): Promise<Answer> {
    if (asked.path === '/_downloads/runner.tgz') return { status: 200, bytes: this.#program };
    const plain = await this.checks.plain(asked, this.web.url);
    if (plain !== undefined)
      return asked.path.startsWith('/_') ? plain : (this.#refuse(asked) ?? plain);
    if (asked.path.startsWith('/_runner/')) return this.#answerRunner(asked, gone);
    if (asked.path.startsWith('/_service/')) {
      return answerScaleSet(this.scaleSets, this.web.url, asked, gone);
    }
    if (asked.path === '/actions/runner-registration') {
      return this.scaleSets.register(this.web.url, asked);
    }
    const matched = this.#schema.match(asked.method, asked.path);
    if (matched === undefined) {
      this.violations.push(`${asked.method} ${asked.path}: GitHub has no such operation`);
      return { status: 404, json: { message: 'Not Found' } };
    }
    const body = asked.text === '' ? undefined : (JSON.parse(asked.text) as unknown);
    const wrong = this.#schema.wrongWith(matched, asked.query, body);
    if (wrong !== undefined) this.violations.push(`${asked.method} ${asked.path}: ${wrong}`);
    if (asked.headers['x-github-api-version'] === undefined) {
      this.violations.push(`${asked.method} ${asked.path}: no X-GitHub-Api-Version`);
    }
    const refused = this.#refuse(asked);
    if (refused !== undefined) return refused;
    const { status, given } = this.#operate(matched, asked, body as Record<string, unknown>);
    const limits = this.#limits();
    if (status === 204) return { status, headers: limits };
    const json = this.#schema.answer(matched, status, given);
    const etag = `"${createHmac('sha256', 'etag').update(JSON.stringify(json)).digest('hex')}"`;
    if (asked.method === 'GET' && asked.headers['if-none-match'] === etag) {
      return { status: 304, headers: { ...limits, etag } };
    }
    this.budget -= 1;
    return { status, json, headers: { ...this.#limits(), etag } };
  }

  #limits(): Record<string, string> {
    return {
      'x-ratelimit-limit': '15000',
      'x-ratelimit-remaining': String(Math.max(0, this.budget)),
      'x-ratelimit-reset': String(Math.ceil(Date.now() / 1000) + 2),
    };
  }

  #refuse({ path, headers }: Asked): Answer | undefined {
    const token = /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1] ?? '';
    const asApp = path.startsWith('/app/') || path.endsWith('/installation');
    const known = this.#options.tokens?.includes(token) === true;
    const fine = asApp ? this.#isApp(token) : known || this.#installationTokens.has(token);
    if (!fine) return { status: 401, json: { message: 'Bad credentials' } };
    if (this.budget > 0) return undefined;
    const message = 'API rate limit exceeded';
    return { status: 403, json: { message }, headers: this.#limits() };
  }

  #isApp(token: string): boolean {
    const { app } = this.#options;
    const [head = '', claims = '', signature = ''] = token.split('.');
    if (app === undefined || signature === '') return false;
    const { iss, iat, exp } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as {
      iss: string;
      iat: number;
      exp: number;
    };
    const now = Date.now() / 1000;
    const signed = createVerify('sha256').update(`${head}.${claims}`);
    const right = signed.verify(app.publicKey, Buffer.from(signature, 'base64url'));
    return right && iss === app.id && iat <= now && exp > now && exp - now <= 600;
  }

  /** Status and what an operation's answer says beyond what is required of it. */
  #operate(
    { template, parameters }: Matched,
    { method, query }: Asked,
    body: Record<string, unknown>,
  ): { status: number; given?: unknown } {
    const { hub } = this;
    const page = <T>(all: readonly T[]): T[] => {
      const size = Number(query.get('per_page') ?? 30);
      const at = Number(query.get('page') ?? 1) - 1;
      return all.slice(at * size, (at + 1) * size);
    };
    const at = `${method} ${template.replace(/^\/(orgs\/\{org\}|repos\/\{owner\}\/\{repo\}|enterprises\/\{enterprise\})/, '')}`;
    const ofChecks = this.checks.operate(at, parameters, query, body);
    if (ofChecks !== undefined) return ofChecks;
    const repository = `${parameters['owner']}/${parameters['repo']}`;
    const runs = [...hub.runs.values()].filter((run) => run.repository === repository);
    switch (at) {
      case 'POST /app/installations/{installation_id}/access_tokens': {
        const token = `ghs_${randomUUID()}`;
        this.#installationTokens.add(token);
        const expires = new Date(Date.now() + 3_600_000).toISOString();
        return { status: 201, given: { token, expires_at: expires } };
      }
      case 'GET /installation':
        return { status: 200, given: { id: 77 } };
      case 'GET /installation/repositories': {
        const repositories = this.#repositories.map((name) => ({
          full_name: name,
          archived: false,
        }));
        return { status: 200, given: { repositories: page(repositories) } };
      }
      case 'GET /repos': {
        return {
          status: 200,
          given: page(this.#repositories.map((name) => ({ full_name: name }))),
        };
      }
      case 'GET /actions/runner-groups':
        return { status: 200, given: { runner_groups: [{ id: 1, name: 'Default' }] } };
      case 'POST /actions/runners/generate-jitconfig':
        return this.#generate(body as { name: string; labels: string[] });
      case 'POST /actions/runners/registration-token':
        return { status: 201, given: { token: this.scaleSets.registrationToken() } };
      case 'GET /actions/runners/downloads':
        return { status: 200, given: this.#downloads };
      case 'GET /actions/runners': {
        const name = query.get('name');
        const all = [...hub.runners.values()].filter(
          (runner) => name === null || runner.name === name,
        );
        const runners = page(all.map((runner) => this.#runnerOf(runner)));
        return { status: 200, given: { total_count: all.length, runners } };
      }
      case 'GET /actions/runners/{runner_id}': {
        const runner = hub.runners.get(Number(parameters['runner_id']));
        if (runner === undefined) return { status: 404, given: { message: 'Not Found' } };
        return { status: 200, given: this.#runnerOf(runner) };
      }
      case 'DELETE /actions/runners/{runner_id}': {
        const runner = hub.runners.get(Number(parameters['runner_id']));
        if (runner === undefined) return { status: 404, given: { message: 'Not Found' } };
        if (runner.job !== undefined) {
          const message = `Runner "${runner.name}" is currently running a job and cannot be deleted.`;
          return { status: 422, given: { message } };
        }
        hub.runners.delete(runner.id);
        return { status: 204 };
      }
      case 'GET /actions/runs': {
        const status = query.get('status');
        const found = runs.filter((run) => this.#statusOf(run.id) === status);
        return { status: 200, given: { workflow_runs: page(found.map((run) => runOf(run))) } };
      }
      case 'GET /actions/runs/{run_id}': {
        const run = hub.runs.get(Number(parameters['run_id']));
        if (run === undefined) return { status: 404, given: { message: 'Not Found' } };
        return { status: 200, given: runOf(run) };
      }
      case 'GET /actions/runs/{run_id}/approvals': {
        const run = hub.runs.get(Number(parameters['run_id']));
        const given = run?.approved === true ? [{ state: 'approved', comment: 'fine' }] : [];
        return { status: 200, given };
      }
      case 'GET /actions/runs/{run_id}/jobs': {
        const run = Number(parameters['run_id']);
        const jobs = [...hub.jobs.values()].filter((job) => job.run.id === run);
        return { status: 200, given: { jobs: page(jobs.map((job) => jobOf(job))) } };
      }
      default:
        throw new Error(`the fake does not play ${method} ${template}`);
    }
  }

  /** The checksum that is told for the runner's program, where it is to be another than its own. */
  toldChecksum: string | undefined;

  /** What workers may fetch their runner from. */
  get #downloads() {
    const own = createHash('sha256').update(this.#program).digest('hex');
    return ['x64', 'arm64'].map((architecture) => ({
      ...{ os: 'linux', architecture, filename: `actions-runner-linux-${architecture}.tar.gz` },
      download_url: `${this.web.url}/_downloads/runner.tgz`,
      sha256_checksum: this.toldChecksum ?? own,
    }));
  }

  #generate({ name, labels }: { name: string; labels: string[] }) {
    const runner = this.hub.register(name, labels);
    if (runner === 'taken') return { status: 409, given: { message: 'Already exists' } };
    return {
      status: 201,
      given: { runner: this.#runnerOf(runner), encoded_jit_config: this.jitConfigOf(runner) },
    };
  }

  jitConfigOf(runner: FakeRunner): string {
    const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64');
    return encode({
      '.runner': encode({
        agentName: runner.name,
        serverUrl: `${this.web.url}/_runner/${runner.id}`,
      }),
      '.credentials': encode({ token: runner.token }),
    });
  }

  get #repositories(): string[] {
    return [...new Set(['acme/app', ...[...this.hub.runs.values()].map((run) => run.repository)])];
  }

  #runnerOf(runner: FakeRunner) {
    return {
      ...{ id: runner.id, name: runner.name, os: 'linux', busy: runner.job !== undefined },
      status: this.hub.isOnline(runner) ? 'online' : 'offline',
      labels: runner.labels.map((name) => ({ name, type: 'custom' })),
    };
  }

  #statusOf(runId: number): string {
    const jobs = [...this.hub.jobs.values()].filter((job) => job.run.id === runId);
    if (jobs.every(({ status }) => status === 'completed')) return 'completed';
    return jobs.some(({ status }) => status === 'in_progress') ? 'in_progress' : 'queued';
  }

  async #answerRunner(asked: Asked, gone: AbortSignal): Promise<Answer> {
    const [, , id = '', what = '', job = ''] = asked.path.split('/');
    const runner = this.hub.runners.get(Number(id));
    if (runner === undefined) return { status: 404 };
    if (asked.headers.authorization !== `Bearer ${runner.token}`) return { status: 401 };
    runner.heardAt = Date.now();
    if (what === 'connect') {
      if (this.hub.deprecated) return { status: 426 };
      if (runner.connected) return { status: 409 };
      runner.connected = true;
      return { status: 200 };
    }
    if (what === 'done') {
      const found = this.hub.jobs.get(Number(job));
      assert.ok(found !== undefined && runner.job === found, `${runner.name} has no job ${job}`);
      this.hub.done(runner, found);
      return { status: 200 };
    }
    const until = Date.now() + POLL_MS;
    while (Date.now() < until && !gone.aborted && this.hub.runners.has(runner.id)) {
      runner.heardAt = Date.now();
      const found = this.scaleSets.assign(runner) ?? this.hub.assign(runner);
      if (found !== undefined) {
        return { status: 200, text: `${found.id} ${found.seconds} ${found.ending}\n` };
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return { status: this.hub.runners.has(runner.id) ? 204 : 404 };
  }

  #deliver(action: string, job: FakeJob): void {
    const { webhooks } = this;
    if (webhooks === undefined) return;
    const copies = webhooks.copies?.(action, job) ?? 1;
    const id = randomUUID();
    const body = this.#webhookBody(action, job);
    for (let copy = 0; copy < copies; copy += 1) {
      const work = (async () => {
        await new Promise((resolve) => setTimeout(resolve, webhooks.delay?.(action, job) ?? 0));
        await this.send(body, { id, secret: webhooks.secret, url: webhooks.url });
      })().finally(() => this.#deliveries.delete(work));
      this.#deliveries.add(work);
    }
  }

  /** Sends a webhook; its answer's status, or 0 when there was none. */
  async send(
    body: string,
    {
      id,
      secret,
      url,
      event = 'workflow_job',
    }: { id: string; secret: string; url: string; event?: string },
  ): Promise<number> {
    const signature = createHmac('sha256', secret).update(body).digest('hex');
    const headers = {
      ...{ 'content-type': 'application/json', 'x-github-event': event },
      ...{ 'x-github-delivery': id, 'x-hub-signature-256': `sha256=${signature}` },
    };
    const answer = await fetch(url, { method: 'POST', headers, body }).catch(() => undefined);
    await answer?.text();
    return answer?.status ?? 0;
  }

  #webhookBody(action: string, job: FakeJob): string {
    const [owner = '', name = ''] = job.run.repository.split('/');
    const given = webhookOf(action, job, owner, name);
    const delivery = this.#webhooks.definition(`workflow_job$${action}`, given);
    return JSON.stringify(delivery);
  }
}

/** Enterprise Server has its API below a path of the host. */
function below(asked: Asked, { description }: FakeGithubOptions): Asked {
  const server = description?.startsWith('ghes') === true;
  if (!server || asked.path.startsWith('/_')) return asked;
  if (!asked.path.startsWith('/api/v3/')) return { ...asked, path: `/not-the-api${asked.path}` };
  return { ...asked, path: asked.path.slice('/api/v3'.length) };
}

/** `runner.sh` packed as GitHub packs its runner. */
async function runnerProgram(): Promise<Buffer> {
  const dir = await mkdtemp(join(tmpdir(), 'pomona-runner-'));
  try {
    await copyFile(fileURLToPath(new URL('runner.sh', import.meta.url)), join(dir, 'run.sh'));
    const file = join(dir, 'runner.tgz');
    await create({ cwd: dir, gzip: true, file, portable: true }, ['run.sh']);
    return await readFile(file);
  } finally {
    await rm(dir, { recursive: true });
  }
}

function webhookOf(action: string, job: FakeJob, owner: string, name: string) {
  return {
    action,
    repository: { name, full_name: job.run.repository, owner: { login: owner } },
    sender: { login: job.run.actor },
    workflow_job: { ...jobOf(job), steps: [] },
  };
}

function runOf(run: FakeHub['runs'] extends Map<number, infer Run> ? Run : never) {
  const repository = (fullName: string) => ({ full_name: fullName });
  return {
    ...{ id: run.id, run_attempt: 1, event: run.event, name: 'CI', status: 'queued' },
    repository: repository(run.repository),
    head_repository: run.headRepository === null ? null : repository(run.headRepository),
    actor: { login: run.actor },
  };
}

function jobOf(job: FakeJob) {
  const { runner } = job;
  const url = `https://github.example.org/${job.run.repository}/actions/runs/${job.run.id}/job/${job.id}`;
  return {
    ...{ id: job.id, run_id: job.run.id, run_attempt: 1, run_url: url, node_id: 'n' },
    ...{ head_sha: 'a'.repeat(40), head_branch: 'main', url, html_url: url, check_run_url: url },
    ...{ status: job.status, conclusion: job.conclusion, created_at: job.createdAt },
    started_at: job.createdAt,
    completed_at: job.status === 'completed' ? new Date().toISOString() : null,
    ...{ name: job.name, workflow_name: 'CI', labels: [...job.labels] },
    ...{ runner_id: runner?.id ?? null, runner_name: runner?.name ?? null },
    ...{ runner_group_id: runner === undefined ? null : 1 },
    runner_group_name: runner === undefined ? null : 'Default',
  };
}
