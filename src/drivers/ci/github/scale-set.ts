import { hostname } from 'node:os';
import { z } from 'zod';
import type { CiJob } from '../../../domain/ci/ci-job.ts';
import { CiError, type CiNews, type CiTools } from '../ci.ts';
import { CiHttp } from '../http/http.ts';
import type { GithubRunners } from './runners.ts';
import { ScaleSetAccess } from './scale-set-access.ts';
import {
  acquiredSchema,
  messageSchema,
  queueJobSchema,
  scaleSetJitSchema,
  scaleSetSchema,
  scaleSetsSchema,
  sessionSchema,
  type QueueJob,
  type Session,
  type Statistics,
} from './scale-set-wire.ts';
import type { GithubSettings } from './settings.ts';

/** GitHub holds a poll for about 50 s. */
const POLL_TIMEOUT_MS = 90_000;
const GOODBYE_MS = 5_000;
const VERSION = 'api-version=6.0-preview';
const SETS = '_apis/runtime/runnerscalesets';

/**
 * The queue of a runner scale set: GitHub is asked, so nothing of ours has to be reachable. Runners
 * are counted by its statistics; its messages are news that may get lost.
 */
export class ScaleSet {
  readonly #name: string;
  readonly #settings: GithubSettings;
  readonly #tools: CiTools;
  readonly #runners: GithubRunners;
  readonly #access: ScaleSetAccess;
  readonly #queue: CiHttp;
  #statistics: Statistics | undefined;
  #id: number | undefined;

  constructor(
    name: string,
    settings: GithubSettings,
    parts: { tools: CiTools; http: CiHttp; runners: GithubRunners },
  ) {
    this.#name = name;
    this.#settings = settings;
    this.#tools = parts.tools;
    this.#runners = parts.runners;
    this.#access = new ScaleSetAccess(settings, parts.tools, parts.http);
    // Its address and its token come with the session.
    this.#queue = new CiHttp({
      ...{ base: settings.api, clock: parts.tools.clock, headers: async () => ({}) },
    });
  }

  /** Places in the queue that nobody runs yet. Throws when the queue never said how many. */
  async waiting(signal: AbortSignal): Promise<CiJob[]> {
    const statistics = this.#statistics ?? (await this.#find(signal))?.statistics ?? undefined;
    if (statistics === undefined) {
      throw new CiError('unavailable', `the scale set ${this.#name} has not said yet what waits`);
    }
    return this.#places(statistics);
  }

  #places({ totalAssignedJobs, totalRunningJobs }: Statistics): CiJob[] {
    const count = Math.max(0, totalAssignedJobs - totalRunningJobs);
    return Array.from({ length: count }, (_, index) => ({
      ...{ key: `place-${index + 1}`, state: 'queued', labels: [this.#name], source: this.#name },
      title: `place ${index + 1} in the queue of scale set ${this.#name}`,
      event: { name: 'unknown', fork: false },
    }));
  }

  async describe(signal: AbortSignal): Promise<string> {
    const known = await this.#find(signal);
    if (known === undefined) return `${this.#name} is not there yet; it is made at the start`;
    return `${this.#name} has the id ${known.id}`;
  }

  async register(
    name: string,
    signal: AbortSignal,
  ): Promise<{ externalId: string; jitConfig: string }> {
    const made = await this.#access.ask(
      {
        ...{ method: 'POST', path: `${SETS}/${await this.#ensured(signal)}/generatejitconfig` },
        ...{ json: { name, workFolder: '_work' }, schema: scaleSetJitSchema },
        what: `the configuration of runner ${name}`,
      },
      signal,
    );
    return { externalId: String(made.runner.id), jitConfig: made.encodedJITConfig };
  }

  /** Holds a session and tells what it says, until `signal` aborts. */
  async follow(tell: (news: CiNews) => void, signal: AbortSignal): Promise<void> {
    const id = await this.#ensured(signal);
    const path = `${SETS}/${id}/sessions`;
    const ownerName = `${this.#tools.owned}${hostname()}`;
    const what = `a session with the scale set ${this.#name}`;
    let session = await this.#access.ask(
      { method: 'POST', path, json: { ownerName }, schema: sessionSchema, what },
      signal,
    );
    try {
      this.#counted(session.statistics, tell);
      for (let last = 0; ;) {
        const message = await this.#poll(session, last, signal);
        if (message === 'expired') {
          session = await this.#access.ask(
            { method: 'PATCH', path: `${path}/${session.sessionId}`, schema: sessionSchema, what },
            signal,
          );
        } else if (message !== undefined) {
          await this.#take(id, message, tell, signal);
          await this.#acknowledge(session, message.messageId, signal);
          last = message.messageId;
        }
      }
    } finally {
      // GitHub keeps one session for a set: without this the next start would have to wait.
      const goodbye = AbortSignal.timeout(GOODBYE_MS);
      await this.#access
        .tell({ method: 'DELETE', path: `${path}/${session.sessionId}`, what }, goodbye)
        .catch((error: unknown) => this.#tools.log.log('debug', 'a session stays', { error }));
    }
  }

  async #poll(session: Session, last: number, signal: AbortSignal) {
    const url = new URL(session.messageQueueUrl);
    if (last > 0) url.searchParams.set('lastMessageId', String(last));
    const answer = await this.#queue.ask(
      {
        ...{ path: url.href, schema: messageSchema, timeoutMs: POLL_TIMEOUT_MS, expected: [401] },
        headers: {
          ...queueToken(session),
          'X-ScaleSetMaxCapacity': String(this.#settings.max),
        },
        what: `the messages of scale set ${this.#name}`,
      },
      signal,
    );
    if (answer.status === 401) return 'expired';
    return answer.status === 202 ? undefined : answer.value;
  }

  async #take(
    id: number,
    message: z.output<typeof messageSchema>,
    tell: (news: CiNews) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const jobs = jobsIn(message);
    const offered = jobs.flatMap((job) =>
      job.messageType === 'JobAvailable' && job.runnerRequestId !== undefined
        ? [job.runnerRequestId]
        : [],
    );
    if (offered.length > 0) {
      const what = `jobs for scale set ${this.#name}`;
      const path = `${SETS}/${id}/acquirejobs`;
      const request = {
        method: 'POST',
        path,
        json: offered,
        schema: acquiredSchema,
        what,
      } as const;
      await this.#access.ask(request, signal);
    }
    const started = jobs.filter(({ messageType }) => messageType === 'JobStarted');
    tell({ runners: started.flatMap((job) => busyRunner(job)) });
    this.#counted(message.statistics, tell);
  }

  #counted(statistics: Statistics | null | undefined, tell: (news: CiNews) => void): void {
    if (statistics === undefined || statistics === null) return;
    this.#statistics = statistics;
    tell({ queue: this.#places(statistics) });
  }

  /** Until then the queue would tell it again. */
  async #acknowledge(session: Session, messageId: number, signal: AbortSignal): Promise<void> {
    const url = new URL(session.messageQueueUrl);
    url.pathname += `/${messageId}`;
    const what = `the acknowledgement of message ${messageId}`;
    const request = { path: url.href, headers: queueToken(session), expected: [404], what };
    await this.#queue.ask({ method: 'DELETE', ...request }, signal);
  }

  async #ensured(signal: AbortSignal): Promise<number> {
    if (this.#id !== undefined) return this.#id;
    const known = await this.#find(signal);
    this.#id = known?.id ?? (await this.#create(signal));
    return this.#id;
  }

  async #find(signal: AbortSignal) {
    const group = await this.#runners.groupId(signal);
    const query = `runnerGroupId=${group}&name=${encodeURIComponent(this.#name)}&${VERSION}`;
    const what = `the scale set ${this.#name}`;
    const found = await this.#access.ask(
      { path: `${SETS}?${query}`, schema: scaleSetsSchema, what },
      signal,
    );
    return found.value.find(({ name }) => name === this.#name);
  }

  async #create(signal: AbortSignal): Promise<number> {
    const json = {
      ...{ name: this.#name, runnerGroupId: await this.#runners.groupId(signal) },
      labels: [{ name: this.#name, type: 'System' }],
      RunnerSetting: { disableUpdate: true },
    };
    const what = `making the scale set ${this.#name}`;
    const made = await this.#access.ask(
      { method: 'POST', path: SETS, json, schema: scaleSetSchema, what },
      signal,
    );
    return made.id;
  }
}

function queueToken(session: Session): Record<string, string> {
  return { authorization: `Bearer ${session.messageQueueAccessToken}` };
}

function jobsIn({ messageType, body }: z.output<typeof messageSchema>): QueueJob[] {
  if (messageType !== 'RunnerScaleSetJobMessages' || body === '') return [];
  const parsed = z.array(queueJobSchema).safeParse(JSON.parse(body));
  return parsed.success ? parsed.data : [];
}

function busyRunner({ runnerName, jobDisplayName, ownerName, repositoryName }: QueueJob) {
  if (runnerName === undefined || runnerName === '') return [];
  const job = `${ownerName ?? ''}/${repositoryName ?? ''} ${jobDisplayName ?? ''}`.trim();
  return [{ name: runnerName, state: 'busy' as const, job }];
}
