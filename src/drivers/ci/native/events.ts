import type { CiJob } from '../../../domain/ci/ci-job.ts';
import { CiError, type CiNews } from '../ci.ts';
import type { CiHttp } from '../http/http.ts';
import type { Checks } from './checks.ts';
import { isSetOffBy, readPipeline, type PipelineJob } from './pipeline.ts';
import type { NativeSettings } from './settings.ts';
import {
  checkRunEventSchema,
  permissionSchema,
  pullRequestSchema,
  pushSchema,
  type CheckRun,
} from './wire.ts';
import { z } from 'zod';

/** Who may write to a repository is no stranger. */
const KNOWN = new Set(['OWNER', 'MEMBER', 'COLLABORATOR']);
const MAY_APPROVE = new Set(['admin', 'maintain', 'write']);
const PULL_REQUEST_ACTIONS = new Set(['opened', 'reopened', 'synchronize']);

/** One commit that something happened to. */
interface Commit {
  readonly repository: string;
  readonly sha: string;
  readonly event: 'push' | 'pull_request';
  readonly branch: string;
  readonly fork: boolean;
  readonly author: string | undefined;
  /** Somebody has to say that it may run. */
  readonly needsApproval: boolean;
  readonly approved: boolean;
}

/** What makes a job known again, wherever it is written down: in the id that a check has. */
export interface Known {
  readonly event: 'push' | 'pull_request';
  readonly branch: string;
  readonly fork: boolean;
  readonly author?: string | undefined;
  readonly approved: boolean;
  readonly job: string;
}

/** Makes jobs of what GitHub tells: a check for each, which is there before anybody is told of it. */
export class NativeEvents {
  readonly #settings: NativeSettings;
  readonly #http: CiHttp;
  readonly #checks: Checks;

  constructor(settings: NativeSettings, http: CiHttp, checks: Checks) {
    this.#settings = settings;
    this.#http = http;
    this.#checks = checks;
  }

  async news(event: string, body: unknown, signal: AbortSignal): Promise<CiNews> {
    switch (event) {
      case 'push':
        return this.#pushed(read(pushSchema, body), signal);
      case 'pull_request':
        return this.#proposed(read(pullRequestSchema, body), signal);
      case 'check_run':
        return this.#asked(read(checkRunEventSchema, body), signal);
      default:
        return {};
    }
  }

  async #pushed(push: z.output<typeof pushSchema>, signal: AbortSignal): Promise<CiNews> {
    const branch = /^refs\/heads\/(.+)$/.exec(push.ref)?.[1];
    if (branch === undefined || push.deleted) return {};
    return this.#jobs(
      {
        ...{ repository: push.repository.full_name, sha: push.after, event: 'push', branch },
        ...{ fork: false, author: push.sender.login, needsApproval: false, approved: false },
      },
      signal,
    );
  }

  async #proposed(
    { action, repository, pull_request: pull }: z.output<typeof pullRequestSchema>,
    signal: AbortSignal,
  ): Promise<CiNews> {
    if (!PULL_REQUEST_ACTIONS.has(action)) return {};
    const fork = pull.head.repo?.full_name !== repository.full_name;
    const author = pull.user?.login;
    const trusted = author !== undefined && this.#settings.trustedAuthors.includes(author);
    return this.#jobs(
      {
        ...{ repository: repository.full_name, sha: pull.head.sha, event: 'pull_request' },
        ...{ branch: pull.base.ref, fork, author, approved: false },
        needsApproval: fork && !trusted && !KNOWN.has(pull.author_association),
      },
      signal,
    );
  }

  /** Somebody pressed a button: to run a stranger's job, or to run one again. */
  async #asked(event: z.output<typeof checkRunEventSchema>, signal: AbortSignal): Promise<CiNews> {
    const approves =
      event.action === 'requested_action' && event.requested_action?.identifier === 'approve';
    if (!approves && event.action !== 'rerequested') return {};
    const { app } = event.check_run;
    const ours = this.#settings.credential.id;
    if (String(app?.id) !== ours && app?.client_id !== ours) return {};
    const known = knownOf(event.check_run.external_id);
    if (known === undefined) return {};
    const repository = event.repository.full_name;
    const stranger = known.fork && !known.approved;
    if (approves || stranger) {
      const { login } = event.sender;
      const path = `repos/${repository}/collaborators/${encodeURIComponent(login)}/permission`;
      const what = `what ${login} may do in ${repository}`;
      const { permission } = await this.#http.get({ path, schema: permissionSchema, what }, signal);
      if (!MAY_APPROVE.has(permission)) return {};
    }
    const sha = event.check_run.head_sha;
    const { job, ...rest } = known;
    const commit = { repository, sha, author: undefined, ...rest, needsApproval: false };
    return this.#jobs({ ...commit, approved: known.approved || stranger }, signal, job);
  }

  async #jobs(commit: Commit, signal: AbortSignal, only?: string): Promise<CiNews> {
    const text = await pipelineAt(this.#http, commit.repository, commit.sha, signal);
    if (text === undefined) return {};
    const pipeline = readPipeline(text);
    const { repository, sha } = commit;
    if ('wrong' in pipeline) {
      const check = { repository, sha, job: '.pomona.yaml', externalId: '' };
      const before = await this.#checks.find(repository, sha, check.job, signal);
      const output = { title: 'It cannot be read', summary: pipeline.wrong };
      if (before === undefined) {
        await this.#checks.create(check, { conclusion: 'failure' }, output, signal);
      }
      return {};
    }
    const jobs: CiJob[] = [];
    for (const [name, job] of Object.entries(pipeline.jobs)) {
      const asked =
        only === undefined ? isSetOffBy(job, commit.event, commit.branch) : only === name;
      const wanted = asked
        ? await this.#job(commit, name, job, only !== undefined, signal)
        : undefined;
      if (wanted !== undefined) jobs.push(wanted);
    }
    return { jobs };
  }

  /** Once for each commit, whatever tells of it and how often; again only when it was asked for. */
  async #job(
    commit: Commit,
    name: string,
    job: PipelineJob,
    again: boolean,
    signal: AbortSignal,
  ): Promise<CiJob | undefined> {
    const { repository, sha, event, branch, fork, author, approved, needsApproval } = commit;
    const before = again ? undefined : await this.#checks.find(repository, sha, name, signal);
    if (before !== undefined) {
      const known = before.status === 'queued' ? knownOf(before.external_id) : undefined;
      return known && ciJob(commit, before, job.labels, known);
    }
    const known: Known = { event, branch, fork, author, approved, job: name };
    const check = { repository, sha, job: name, externalId: JSON.stringify(known) };
    if (needsApproval) {
      const summary = `${author ?? 'Somebody'} is new here. Whoever may write to ${repository} can let it run.`;
      const output = { title: 'It needs approval', summary };
      await this.#checks.create(check, { conclusion: 'action_required' }, output, signal);
      return undefined;
    }
    const output = { title: 'It waits for a worker', summary: `Labels: ${job.labels.join(', ')}` };
    const made = await this.#checks.create(check, { status: 'queued' }, output, signal);
    return ciJob(commit, made, job.labels, known);
  }
}

/** The text of `.pomona.yaml` at a commit; undefined when it has none. */
export async function pipelineAt(
  http: CiHttp,
  repository: string,
  sha: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const path = `repos/${repository}/contents/.pomona.yaml?ref=${sha}`;
  const headers = { accept: 'application/vnd.github.raw+json' };
  const what = `.pomona.yaml of ${repository}`;
  const request = { path, headers, schema: z.string(), plain: true, what, expected: [404] };
  return (await http.ask(request, signal)).value;
}

function ciJob(
  { repository, sha }: Commit,
  { id, html_url: url }: CheckRun,
  labels: readonly string[],
  { job, event, fork, author, approved }: Known,
): CiJob {
  const group = [repository, sha, id, job].join(' ');
  return {
    ...{ key: String(id), state: 'queued', labels, source: repository, group },
    title: `${job} at ${sha.slice(0, 10)}`,
    ...(url === undefined || url === null ? {} : { url }),
    event: { name: event, fork, author, approved },
  };
}

function knownOf(externalId: string | null | undefined): Known | undefined {
  try {
    return JSON.parse(externalId ?? '') as Known;
  } catch {
    return undefined;
  }
}

function read<T>(schema: z.ZodType<T>, body: unknown): T {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new CiError('refused', `${issue?.path.join('.')}: ${issue?.message}`);
}
