import type { CiHttp } from '../http/http.ts';
import { checkRunSchema, checkRunsSchema, type CheckRun } from './wire.ts';

/** What a job is called among the checks of a commit. */
export const CHECK_PREFIX = 'pomona / ';
const APPROVE = {
  label: 'Run',
  description: 'Run it on machines for strangers',
  identifier: 'approve',
};
const MOST_TEXT = 60_000;

export interface CheckOutput {
  readonly title: string;
  readonly summary: string;
  /** The end of the log. */
  readonly log?: string;
}

/** Check runs of commits: what GitHub shows of our jobs. */
export class Checks {
  readonly #http: CiHttp;

  constructor(http: CiHttp) {
    this.#http = http;
  }

  /** The newest check run of a job of a commit, with the id that we gave it. */
  async find(repository: string, sha: string, job: string, signal: AbortSignal) {
    const name = encodeURIComponent(CHECK_PREFIX + job);
    const path = `repos/${repository}/commits/${sha}/check-runs?check_name=${name}&filter=latest`;
    const what = `the checks of ${repository} at ${sha.slice(0, 10)}`;
    const found = await this.#http.get({ path, schema: checkRunsSchema, what }, signal);
    return found.check_runs[0];
  }

  async create(
    check: { repository: string; sha: string; job: string; externalId: string },
    state: { status: 'queued' } | { conclusion: 'action_required' | 'failure' },
    output: CheckOutput,
    signal: AbortSignal,
  ): Promise<CheckRun> {
    const asks = 'conclusion' in state && state.conclusion === 'action_required';
    const json = {
      ...{ name: CHECK_PREFIX + check.job, head_sha: check.sha, external_id: check.externalId },
      ...('conclusion' in state ? { status: 'completed' } : {}),
      ...{ ...state, output: shown(output) },
      ...(asks ? { actions: [APPROVE] } : {}),
    };
    const path = `repos/${check.repository}/check-runs`;
    const what = `a check of ${check.repository}`;
    const request = { method: 'POST', path, json, schema: checkRunSchema, what } as const;
    return this.#http.get(request, signal);
  }

  async update(
    repository: string,
    id: string,
    state:
      | { status: 'queued' | 'in_progress' }
      | { conclusion: 'success' | 'failure' | 'cancelled' | 'timed_out' },
    output: CheckOutput,
    signal: AbortSignal,
  ): Promise<void> {
    const json = {
      ...('conclusion' in state ? { status: 'completed' } : {}),
      ...{ ...state, output: shown(output) },
    };
    const path = `repos/${repository}/check-runs/${id}`;
    const what = `check ${id} of ${repository}`;
    await this.#http.ask({ method: 'PATCH', path, json, what, expected: [404] }, signal);
  }
}

function shown({ title, summary, log }: CheckOutput) {
  if (log === undefined || log === '') return { title, summary };
  // A fence that the log does not hold.
  const longest = Math.max(2, ...[...log.matchAll(/`+/g)].map(([ticks]) => ticks.length));
  const fence = '`'.repeat(longest + 1);
  return { title, summary, text: `${fence}\n${log.slice(-MOST_TEXT)}\n${fence}` };
}
