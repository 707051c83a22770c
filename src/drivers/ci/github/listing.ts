import type { z } from 'zod';
import { matches } from '../../../domain/ci/routes.ts';
import type { CiJob, SeenRunner } from '../../../domain/ci/ci-job.ts';
import { CiError } from '../ci.ts';
import type { CiHttp } from '../http/http.ts';
import type { GithubJobs } from './jobs.ts';
import { levelPath, type GithubSettings } from './settings.ts';
import {
  jobsSchema,
  organizationRepositoriesSchema,
  repositoriesSchema,
  runnersSchema,
  runsSchema,
  type Run,
  type Runner,
} from './wire.ts';

const PAGE = 100;
/** Runs of these states may have jobs that wait for a runner. */
const OPEN_STATES = ['queued', 'in_progress', 'waiting'] as const;
/** Repositories looked at in one look; the next look goes on behind them. */
const REPOSITORIES_AT_ONCE = 50;
const REPOSITORIES_KNOWN_MS = 600_000;

/** What a look at GitHub finds: page by page, what did not change at no cost. */
export class GithubListing {
  readonly #http: CiHttp;
  readonly #settings: GithubSettings;
  readonly #jobs: GithubJobs;
  #repositories: { names: readonly string[]; at: number } | undefined;
  #next = 0;

  constructor(http: CiHttp, settings: GithubSettings, jobs: GithubJobs) {
    this.#http = http;
    this.#settings = settings;
    this.#jobs = jobs;
  }

  /** Jobs of some repositories, and which: all of them where they are few. */
  async jobs(now: number, signal: AbortSignal): Promise<{ sources: string[]; jobs: CiJob[] }> {
    const all = await this.#names(now, signal);
    const start = all.length > REPOSITORIES_AT_ONCE ? this.#next % all.length : 0;
    const sources = [...all.slice(start), ...all.slice(0, start)].slice(0, REPOSITORIES_AT_ONCE);
    const found = await Promise.all(sources.map((source) => this.#seen(source, signal)));
    this.#next = start + sources.length;
    const seen = found.filter((each) => each !== undefined);
    if (seen.length === 0 && sources.length > 0) await this.#jobsOf(sources[0] ?? '', signal);
    return { sources: seen.map(({ source }) => source), jobs: seen.flatMap(({ jobs }) => jobs) };
  }

  /** One repository that is gone, or may not be seen, is no reason not to see the others. */
  async #seen(source: string, signal: AbortSignal) {
    try {
      return { source, jobs: await this.#jobsOf(source, signal) };
    } catch (error) {
      const hidden =
        error instanceof CiError && (error.code === 'not_found' || error.code === 'forbidden');
      if (hidden) return undefined;
      throw error;
    }
  }

  /** A repository that a webhook came from: the list of them may be old. */
  heardOf(source: string): void {
    if (this.#repositories?.names.includes(source) === false) this.#repositories = undefined;
  }

  async #jobsOf(source: string, signal: AbortSignal): Promise<CiJob[]> {
    const runs = new Map<number, Run>();
    for (const status of OPEN_STATES) {
      const path = `repos/${source}/actions/runs?status=${status}`;
      const what = `the ${status} runs of ${source}`;
      const pages = this.#pages(path, runsSchema, (page) => page.workflow_runs, what, signal);
      for await (const run of pages) runs.set(run.id, run);
    }
    const jobs: CiJob[] = [];
    for (const run of runs.values()) {
      const path = `repos/${source}/actions/runs/${run.id}/jobs?filter=latest`;
      const what = `the jobs of run ${run.id} of ${source}`;
      for await (const job of this.#pages(path, jobsSchema, (page) => page.jobs, what, signal)) {
        const wanted = await this.#jobs.wanted(source, job, run, signal);
        if (wanted !== undefined) jobs.push(wanted);
      }
    }
    return jobs;
  }

  async runners(owned: string, signal: AbortSignal): Promise<SeenRunner[]> {
    const path = `${levelPath(this.#settings.level)}/actions/runners`;
    const found: SeenRunner[] = [];
    const pages = this.#pages(path, runnersSchema, (page) => page.runners, 'the runners', signal);
    for await (const runner of pages) {
      if (runner.name.startsWith(owned)) found.push(seenRunner(runner));
    }
    return found;
  }

  async #names(now: number, signal: AbortSignal): Promise<readonly string[]> {
    const { level, repositories: patterns } = this.#settings;
    if (level.kind === 'repository') return [`${level.owner}/${level.name}`];
    if (patterns.length > 0 && !patterns.some((pattern) => pattern.includes('*'))) return patterns;
    if (this.#repositories !== undefined && now - this.#repositories.at < REPOSITORIES_KNOWN_MS) {
      return this.#repositories.names;
    }
    const names: string[] = [];
    for await (const { full_name: name, archived } of this.#visible(signal)) {
      const fits = patterns.length === 0 || patterns.some((pattern) => matches(pattern, name));
      if (archived !== true && fits) names.push(name);
    }
    this.#repositories = { names, at: now };
    return names;
  }

  #visible(signal: AbortSignal) {
    const { level, credential } = this.#settings;
    const what = 'the repositories';
    if (credential.kind === 'token' && level.kind === 'organization') {
      const path = `orgs/${level.name}/repos?type=all`;
      return this.#pages(path, organizationRepositoriesSchema, (page) => page, what, signal);
    }
    const path = credential.kind === 'app' ? 'installation/repositories' : 'user/repos';
    if (credential.kind === 'token') {
      return this.#pages(path, organizationRepositoriesSchema, (page) => page, what, signal);
    }
    return this.#pages(path, repositoriesSchema, (page) => page.repositories, what, signal);
  }

  async *#pages<Page, Item>(
    path: string,
    schema: z.ZodType<Page>,
    itemsOf: (page: Page) => readonly Item[],
    what: string,
    signal: AbortSignal,
  ): AsyncGenerator<Item, void> {
    for (let number = 1; ; number += 1) {
      const url = new URL(path, 'http://base/');
      url.searchParams.set('per_page', String(PAGE));
      if (number > 1) url.searchParams.set('page', String(number));
      const relative = url.pathname.slice(1) + url.search;
      const page = await this.#http.get(
        { path: relative, schema, what, conditional: true },
        signal,
      );
      const items = itemsOf(page);
      yield* items;
      if (items.length < PAGE) return;
    }
  }
}

export function seenRunner(runner: Runner): SeenRunner {
  const state = runner.busy ? 'busy' : runner.status === 'online' ? 'idle' : 'offline';
  return { name: runner.name, externalId: String(runner.id), state };
}
