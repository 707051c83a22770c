import type { CiEvent, CiJob } from '../../../domain/ci/ci-job.ts';
import type { CiHttp } from '../http/http.ts';
import type { GithubSettings } from './settings.ts';
import { approvalsSchema, runSchema, type Job, type Run } from './wire.ts';

/** Runs whose event is remembered. */
const MOST_RUNS = 5_000;

/** What GitHub's jobs are to us. What set off a run is asked for once. */
export class GithubJobs {
  readonly #http: CiHttp;
  readonly #settings: Pick<GithubSettings, 'askApprovals'>;
  readonly #events = new Map<number, CiEvent>();

  constructor(http: CiHttp, settings: Pick<GithubSettings, 'askApprovals'>) {
    this.#http = http;
    this.#settings = settings;
  }

  /** The job if it waits for a runner or has one; undefined when it does not need one now. */
  async wanted(
    source: string,
    job: Job,
    run: Run | undefined,
    signal: AbortSignal,
  ): Promise<CiJob | undefined> {
    const state = ({ queued: 'queued', in_progress: 'running' } as const)[job.status];
    if (state === undefined) return undefined;
    const workflow = job.workflow_name ?? run?.name ?? undefined;
    return {
      ...{ key: keyOf(job), state, labels: job.labels, source },
      title: workflow === undefined ? job.name : `${workflow} / ${job.name}`,
      ...(job.html_url === undefined || job.html_url === null ? {} : { url: job.html_url }),
      ...(runnerOf(job) === undefined ? {} : { runner: runnerOf(job) }),
      ...timeOf(job.created_at),
      event: await this.#event(source, job.run_id, run, signal),
    };
  }

  async #event(
    source: string,
    runId: number,
    known: Run | undefined,
    signal: AbortSignal,
  ): Promise<CiEvent> {
    const before = this.#events.get(runId);
    if (before !== undefined && (before.approved === true || !this.#asks(before))) return before;
    const path = `repos/${source}/actions/runs/${runId}`;
    const what = `the run ${runId} of ${source}`;
    const run = known ?? (await this.#http.get({ path, schema: runSchema, what }, signal));
    const event = eventOf(run);
    const full = this.#asks(event) ? await this.#withApproval(event, source, run, signal) : event;
    this.#events.set(runId, full);
    if (this.#events.size > MOST_RUNS) {
      const [oldest] = this.#events.keys();
      if (oldest !== undefined) this.#events.delete(oldest);
    }
    return full;
  }

  #asks(event: CiEvent): boolean {
    return event.fork && this.#settings.askApprovals;
  }

  async #withApproval(event: CiEvent, source: string, run: Run, signal: AbortSignal) {
    const reviews = await this.#http.get(
      {
        path: `repos/${source}/actions/runs/${run.id}/approvals`,
        ...{ schema: approvalsSchema, what: `the approvals of run ${run.id}`, conditional: true },
      },
      signal,
    );
    return { ...event, approved: reviews.some(({ state }) => state === 'approved') };
  }
}

/** A job that is run again has another id; the attempt is there for people. */
export function keyOf(job: Pick<Job, 'id' | 'run_attempt'>): string {
  return `${job.id}.${job.run_attempt ?? 1}`;
}

export function runnerOf(job: Pick<Job, 'runner_name'>): string | undefined {
  const name = job.runner_name ?? '';
  return name === '' ? undefined : name;
}

function timeOf(text: string | null | undefined): { queuedAt?: number } {
  const at = Date.parse(text ?? '');
  return Number.isFinite(at) ? { queuedAt: at } : {};
}

/** Code of another repository may be anybody's, whatever the event is called. */
function eventOf(run: Run): CiEvent {
  const author = run.actor?.login;
  return {
    name: run.event,
    fork: run.head_repository?.full_name !== run.repository.full_name,
    ...(author === undefined ? {} : { author }),
  };
}
