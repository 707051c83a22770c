import { randomUUID } from 'node:crypto';
import type { Answer, Asked } from '../web.ts';
import type { FakeHub, FakeJob, FakeRunner } from './state.ts';

interface FakeSession {
  readonly id: string;
  token: string;
  /** What was not acknowledged yet. */
  readonly messages: { messageId: number; body: string }[];
  next: number;
  /** When it was asked last. */
  heardAt: number;
}

/** A session that nobody asks ends by itself. */
const SESSION_MS = 5_000;

/**
 * Plays the service behind runner scale sets (a public preview, with no published description): one
 * set, whose label is its name. Jobs are offered, acquired, assigned, started and completed.
 */
export class FakeScaleSets {
  readonly hub: FakeHub;
  set: { id: number; name: string } | undefined;
  session: FakeSession | undefined;
  readonly acquired = new Set<number>();
  /** Tokens of the queue end after so many polls. */
  pollsPerToken = Number.POSITIVE_INFINITY;
  readonly #registrationTokens = new Set<string>();
  #accessToken = '';
  #polls = 0;

  constructor(hub: FakeHub) {
    this.hub = hub;
    hub.onJob((action, job) => this.#news(action, job));
  }

  registrationToken(): string {
    const token = `AREG${randomUUID()}`;
    this.#registrationTokens.add(token);
    return token;
  }

  register(base: string, { headers, text }: Asked): Answer {
    const token = /^RemoteAuth (.+)$/.exec(headers.authorization ?? '')?.[1] ?? '';
    const body = JSON.parse(text) as { url?: string; runner_event?: string };
    if (!this.#registrationTokens.has(token)) return { status: 401, json: {} };
    if (body.url === undefined || body.runner_event !== 'register') return { status: 400 };
    const claims = { exp: Math.floor(Date.now() / 1000) + 3600 };
    this.#accessToken = `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.${randomUUID()}`;
    return { status: 200, json: { url: `${base}/_service/tenant`, token: this.#accessToken } };
  }

  isAllowed(authorization: string | undefined): boolean {
    return this.#accessToken !== '' && authorization === `Bearer ${this.#accessToken}`;
  }

  /** Tokens that were given out are worth nothing any more. */
  expire(): void {
    this.#accessToken = '';
  }

  get #mine(): FakeJob[] {
    const { set, hub } = this;
    return [...hub.jobs.values()].filter(
      ({ labels, status }) => labels.includes(set?.name ?? '') && status !== 'completed',
    );
  }

  statistics() {
    const jobs = this.#mine;
    const assigned = jobs.filter(({ id }) => this.acquired.has(id));
    const running = jobs.filter(({ status }) => status === 'in_progress');
    return {
      totalAvailableJobs: jobs.length - assigned.length,
      ...{ totalAcquiredJobs: assigned.length, totalAssignedJobs: assigned.length },
      ...{ totalRunningJobs: running.length, totalRegisteredRunners: this.hub.runners.size },
      ...{ totalBusyRunners: running.length, totalIdleRunners: 0 },
    };
  }

  /** Jobs of the set go to its runners alone, and only once they were acquired. */
  assign(runner: FakeRunner): FakeJob | undefined {
    if (this.set === undefined || !runner.labels.includes(this.set.name)) return undefined;
    const before = this.#mine.filter(({ id }) => !this.acquired.has(id));
    const hidden = before.filter(({ status }) => status === 'queued');
    for (const job of hidden) job.status = 'waiting';
    const job = this.hub.assign(runner);
    for (const each of hidden) each.status = 'queued';
    return job;
  }

  say(entries: readonly object[]): void {
    const { session } = this;
    if (session === undefined || entries.length === 0) return;
    session.next += 1;
    session.messages.push({ messageId: session.next, body: JSON.stringify(entries) });
  }

  #news(action: string, job: FakeJob): void {
    if (this.set === undefined || !job.labels.includes(this.set.name)) return;
    const types = { queued: 'JobAvailable', in_progress: 'JobStarted', completed: 'JobCompleted' };
    const messageType = types[action as keyof typeof types];
    this.say([{ messageType, ...entryOf(job) }]);
  }

  openSession(): FakeSession {
    const token = randomUUID();
    this.#polls = 0;
    this.session = { id: randomUUID(), token, messages: [], next: 0, heardAt: Date.now() };
    const available = this.#mine.filter(({ id }) => !this.acquired.has(id));
    this.say(available.map((job) => ({ messageType: 'JobAvailable', ...entryOf(job) })));
    return this.session;
  }

  polled(): boolean {
    this.#polls += 1;
    return this.#polls <= this.pollsPerToken;
  }

  refresh(): void {
    this.#polls = 0;
  }
}

function entryOf(job: FakeJob) {
  const [ownerName = '', repositoryName = ''] = job.run.repository.split('/');
  return {
    ...{ runnerRequestId: job.id, ownerName, repositoryName, jobId: randomUUID() },
    ...{ jobDisplayName: job.name, workflowRunId: job.run.id, eventName: job.run.event },
    ...{ requestLabels: job.labels, runnerName: job.runner?.name, runnerId: job.runner?.id },
    result: job.conclusion ?? undefined,
  };
}

const POLL_MS = 1_000;

export async function answerScaleSet(
  sets: FakeScaleSets,
  base: string,
  asked: Asked,
  gone: AbortSignal,
): Promise<Answer> {
  const path = asked.path.replace('/_service/tenant', '');
  if (path.startsWith('/queue')) return answerQueue(sets, path, asked, gone);
  if (!sets.isAllowed(asked.headers.authorization)) return { status: 401, json: {} };
  if (asked.query.get('api-version') !== '6.0-preview') return { status: 400, json: {} };
  const body = asked.text === '' ? undefined : (JSON.parse(asked.text) as unknown);
  const shape = path
    .replace('/_apis/runtime/runnerscalesets', '')
    .replace(/\/[0-9a-f]{8}-[0-9a-f-]{27}/, '/S')
    .replaceAll(/\/\d+/g, '/N');
  const at = `${asked.method} ${shape}`;
  switch (at) {
    case 'GET ': {
      const { set } = sets;
      const wanted = set !== undefined && asked.query.get('name') === set.name;
      const value = wanted ? [{ ...set, statistics: sets.statistics() }] : [];
      return { status: 200, json: { count: value.length, value } };
    }
    case 'POST ': {
      const { name } = body as { name: string };
      sets.set = { id: 9, name };
      return { status: 200, json: { id: 9, name, runnerGroupId: 1 } };
    }
    case 'POST /N/sessions': {
      if (sets.session !== undefined && Date.now() - sets.session.heardAt < SESSION_MS) {
        return { status: 409, json: { message: 'The runner scale set has an active session' } };
      }
      const { ownerName } = body as { ownerName?: string };
      if (ownerName === undefined) return { status: 400, json: {} };
      return { status: 200, json: sessionOf(sets, base, sets.openSession()) };
    }
    case 'PATCH /N/sessions/S': {
      if (sets.session === undefined) return { status: 404, json: {} };
      sets.session.token = randomUUID();
      sets.refresh();
      return { status: 200, json: sessionOf(sets, base, sets.session) };
    }
    case 'DELETE /N/sessions/S':
      sets.session = undefined;
      return { status: 204 };
    case 'POST /N/acquirejobs': {
      const ids = body as number[];
      for (const id of ids) sets.acquired.add(id);
      sets.say(ids.map((id) => ({ messageType: 'JobAssigned', runnerRequestId: id })));
      return { status: 200, json: { count: ids.length, value: ids } };
    }
    case 'POST /N/generatejitconfig': {
      const { name } = body as { name: string };
      const runner = sets.hub.register(name, [sets.set?.name ?? '']);
      if (runner === 'taken') return { status: 409, json: { typeName: 'AgentExistsException' } };
      const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64');
      const config = encode({
        '.runner': encode({ serverUrl: `${base}/_runner/${runner.id}` }),
        '.credentials': encode({ token: runner.token }),
      });
      return { status: 200, json: { runner: { id: runner.id, name }, encodedJITConfig: config } };
    }
    default:
      throw new Error(`the fake does not play ${at}`);
  }
}

function sessionOf(sets: FakeScaleSets, base: string, session: FakeSession) {
  return {
    ...{ sessionId: session.id, ownerName: 'x', statistics: sets.statistics() },
    messageQueueUrl: `${base}/_service/tenant/queue?sessionId=${session.id}`,
    messageQueueAccessToken: session.token,
  };
}

async function answerQueue(
  sets: FakeScaleSets,
  path: string,
  { method, headers, query }: Asked,
  gone: AbortSignal,
): Promise<Answer> {
  const { session } = sets;
  if (session === undefined || headers.authorization !== `Bearer ${session.token}`) {
    return { status: 401, json: {} };
  }
  session.heardAt = Date.now();
  if (method === 'DELETE') {
    const id = Number(path.split('/').at(-1));
    const at = session.messages.findIndex(({ messageId }) => messageId === id);
    if (at >= 0) session.messages.splice(at, 1);
    return { status: 204 };
  }
  if (!sets.polled()) return { status: 401, json: {} };
  const last = Number(query.get('lastMessageId') ?? 0);
  const until = Date.now() + POLL_MS;
  while (Date.now() < until && !gone.aborted) {
    session.heardAt = Date.now();
    const message = session.messages.find(({ messageId }) => messageId > last);
    if (message !== undefined) {
      const messageType = 'RunnerScaleSetJobMessages';
      return { status: 200, json: { ...message, messageType, statistics: sets.statistics() } };
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { status: 202 };
}
