import { listAudit, type AuditRow } from '../db/queries/audit.ts';
import { listSecrets, deleteSecret } from '../db/queries/secrets.ts';
import { deleteToken, listTokens } from '../db/queries/tokens.ts';
import { factsOf, listHosts } from '../db/queries/hosts.ts';
import { listWorkers } from '../db/queries/workers.ts';
import { roleAllows } from '../protocol/api/route.ts';
import type { AuditEntry, PlanAnswer, PlanQuestion } from '../protocol/api/history-resources.ts';
import { envNameSchema } from '../protocol/values.ts';
import { ProblemError } from '../protocol/problem.ts';
import { remembered } from '../platform/remembered.ts';
import { VERSION } from '../platform/version.ts';
import type { Auth } from './auth.ts';
import type { Consoles } from './consoles/consoles.ts';
import { capacity, jobsToPlay, poolHistory, type HostPrices } from './history/history.ts';
import { listImages } from './history/images.ts';
import { jobTimeline } from './history/timeline.ts';
import { keepJobsWorker } from './kept-workers.ts';
import type { Context } from './context.ts';
import type { Integrations } from './ci/integrations.ts';
import { leakViews } from './leaks.ts';
import { liveControllers } from './leases.ts';
import { HOST_ROLLOUTS, type HostRolloutKind } from '../domain/host-rollout.ts';
import type { HostRollouts } from './host-rollouts.ts';
import type { Hosts } from './hosts.ts';
import type { Handlers } from './http/call.ts';
import type { Jobs } from './jobs.ts';
import type { Pools } from './pools.ts';
import type { Rollouts } from './rollouts.ts';
import type { Secrets } from './secrets.ts';
import { workerView } from './views.ts';

interface Parts {
  readonly consoles: Consoles;
  readonly prices: HostPrices | undefined;
  readonly planFleet: PlanFleet;
  readonly auth: Auth;
  readonly hostRollouts: HostRollouts;
  readonly hosts: Hosts;
  readonly integrations: Integrations;
  readonly jobs: Jobs;
  readonly pools: Pools;
  readonly rollouts: Rollouts;
  readonly secrets: Secrets;
}

/** Plays jobs of the past on a fleet: `at` and lengths in ms. */
export type PlanFleet = (
  question: PlanQuestion,
  jobs: readonly { readonly at: number; readonly lengthMs: number; readonly team: string }[],
  signal: AbortSignal,
) => Promise<PlanAnswer>;

/** How old an answer about the past may be. */
const CAPACITY_MS = 20_000;

/** What each operation of the API does. */
export function handlersOf(context: Context, parts: Parts): Handlers {
  const { auth, hostRollouts, hosts, integrations, jobs, pools, rollouts, secrets } = parts;
  const { consoles, prices, planFleet } = parts;
  // It looks at every job of the time.
  const capacityOf = remembered(context.clock, CAPACITY_MS, (hours: number) =>
    capacity(context, hours, prices),
  );
  return {
    submitJob: ({ body, idempotencyKey, principal }) => {
      if (body.urgent === true && !roleAllows(principal.role, 'operator')) {
        throw new ProblemError(
          'forbidden',
          `an urgent job needs the role operator; the token ${principal.name} has the role ${principal.role}`,
        );
      }
      return jobs.submit(body, idempotencyKey);
    },
    listJobs: ({ query }) => jobs.list({ ...query, after: query.after }),
    listQueue: async () => ({ items: await jobs.queue() }),
    jobTimeline: ({ params }) => jobTimeline(context, params.id),
    retryJob: ({ params }) => jobs.retry(params.id),
    keepJob: async ({ params, body }) => {
      await keepJobsWorker(context, params.id, body.forMs);
      return jobTimeline(context, params.id);
    },
    listImages: async () => ({ items: await listImages(context) }),
    poolHistory: ({ params, query }) => poolHistory(context, params.name, query.hours),
    capacity: ({ query }) => capacityOf(query.hours),
    planFleet: async ({ body, signal }) => {
      const played = await jobsToPlay(context, body.hours);
      if (played.length === 0) {
        throw new ProblemError(
          'invalid',
          `no job ended in the last ${body.hours} hours: there is nothing to play`,
        );
      }
      return planFleet(body, played, signal);
    },
    listAudit: async ({ query: { limit, ...filter } }) => {
      const rows = await listAudit(context.db, filter, limit);
      const last = rows.at(-1)?.seq;
      const next = rows.length === limit && last !== undefined ? String(last) : undefined;
      return { items: rows.map(auditView), next };
    },
    listConsoles: async () => ({ items: await consoles.list() }),
    getJob: ({ params, query, signal }) => jobs.wait(params.id, query.wait, signal),
    cancelJob: ({ params }) => jobs.cancel(params.id),
    whyJob: ({ params }) => jobs.why(params.id),
    listHostRollouts: async () => ({ items: await hostRollouts.list() }),
    startHostRollout: ({ params, body }) => hostRollouts.start(rolloutKind(params.what), body),
    moveHostRollout: ({ params, body }) => hostRollouts.move(rolloutKind(params.what), body.move),
    removeHostRollout: async ({ params }) => hostRollouts.remove(rolloutKind(params.what)),
    listLeaks: async () => ({ items: await leakViews(context) }),
    listControllers: async () => ({ items: await liveControllers(context.db) }),
    listWorkers: async ({ query }) => {
      const { pool, all, after, limit } = query;
      const hostRows = (await listHosts(context.db)).map((row) => {
        return [row.id, { name: row.name, facts: factsOf(row) }] as const;
      });
      const owners = new Map(hostRows);
      const rows = await listWorkers(context.db, { pool, all, after }, limit);
      return {
        items: rows.map((row) => workerView(row, context.fleet, owners.get(row.host_id))),
        next: rows.length === limit ? rows.at(-1)?.id : undefined,
      };
    },
    listHosts: async ({ query }) => pageByName(await hosts.list(), (host) => host.name, query),
    cordonHost: ({ params }) =>
      hosts.setState(params.name, { state: 'cordoned', reason: 'by hand' }),
    drainHost: ({ params, query }) => hosts.drain(params.name, query.within, 'draining'),
    retireHost: ({ params, query }) => hosts.drain(params.name, query.within, 'retiring'),
    quarantineHost: ({ params, body: { reason } }) =>
      hosts.setState(params.name, { state: 'quarantined', reason }),
    askHost: ({ params, body }) => hosts.ask(params.name, body.kind, body.within),
    resumeHost: ({ params }) => hosts.setState(params.name, { state: 'active' }),
    removeHost: async ({ params }) => hosts.remove(params.name),
    listPools: async () => ({ items: await pools.list() }),
    applyPool: ({ params, body }) => {
      if (params.name !== body.name) {
        throw new ProblemError('invalid', 'the path and the body name different pools', {
          errors: [{ path: 'name', message: `expected ${params.name}, as in the path` }],
        });
      }
      return pools.apply(body);
    },
    removePool: async ({ params }) => pools.remove(params.name),
    listRollouts: async () => ({ items: await rollouts.list() }),
    startRollout: ({ params, body }) => rollouts.start(params.pool, body),
    pauseRollout: ({ params }) => rollouts.move(params.pool, 'pause'),
    resumeRollout: ({ params }) => rollouts.move(params.pool, 'resume'),
    promoteRollout: ({ params }) => rollouts.move(params.pool, 'promote'),
    backRollout: ({ params }) => rollouts.move(params.pool, 'back'),
    removeRollout: ({ params }) => rollouts.remove(params.pool),
    listIntegrations: async () => ({ items: await integrations.list() }),
    listCiJobs: async ({ params }) => ({ items: await integrations.jobs(params.name) }),
    explainCi: async ({ body }) => ({ items: await integrations.explain(body) }),
    checkCi: async ({ params }) => ({ items: await integrations.check(params.name) }),
    pauseCi: ({ params }) => integrations.pause(params.name),
    resumeCi: ({ params }) => integrations.resume(params.name),
    setSecret: async ({ params, body }) => {
      const name = envNameSchema.safeParse(params.name);
      if (!name.success) {
        throw new ProblemError('invalid', 'that is no name for a secret', {
          errors: [{ path: 'name', message: 'expected a name such as NPM_TOKEN' }],
        });
      }
      await secrets.set(name.data, body.value);
      integrations.tryAgain();
    },
    listSecrets: async () => ({
      items: (await listSecrets(context.db)).map((row) => ({
        name: row.name,
        updatedAt: row.updated_at,
      })),
    }),
    removeSecret: async ({ params }) => {
      const removed = await deleteSecret(context.db, params.name);
      if (removed === 0) throw new ProblemError('not_found', `there is no secret ${params.name}`);
    },
    createToken: async ({ body }) => {
      const made = await auth.createToken({ name: body.name, role: body.role, ttlMs: body.ttlMs });
      return { ...made, name: body.name, role: body.role };
    },
    listTokens: async () => ({
      items: (await listTokens(context.db)).map((row) => ({
        id: row.id,
        name: row.name,
        role: row.role,
        createdAt: row.created_at,
        expiresAt: row.expires_at ?? undefined,
        lastUsedAt: row.last_used_at ?? undefined,
      })),
    }),
    revokeToken: async ({ params }) => {
      const removed = await deleteToken(context.db, params.id);
      if (removed === 0) throw new ProblemError('not_found', `there is no token ${params.id}`);
    },
    createJoinToken: ({ body }) => auth.createJoinToken(body),
    whoami: async ({ principal }) => ({
      name: principal.name,
      role: principal.role,
      fleet: context.fleet,
      version: VERSION,
    }),
  };
}

function auditView({ detail, address, ...row }: AuditRow): AuditEntry {
  return {
    ...{ ...row, seq: Number(row.seq), at: Number(row.at) },
    ...(detail === null ? {} : { detail }),
    ...(address === null ? {} : { address }),
  };
}

function rolloutKind(text: string): HostRolloutKind {
  const what = HOST_ROLLOUTS.find((each) => each === text);
  if (what !== undefined) return what;
  throw new ProblemError('not_found', `expected ${HOST_ROLLOUTS.join(' or ')}, not ${text}`);
}

function pageByName<T>(
  items: readonly T[],
  nameOf: (item: T) => string,
  query: { limit: number; after?: string | undefined },
): { items: T[]; next: string | undefined } {
  const { after } = query;
  const rest = after === undefined ? items : items.filter((item) => nameOf(item) > after);
  const page = rest.slice(0, query.limit);
  const last = page.at(-1);
  return {
    items: page,
    next: rest.length > page.length && last !== undefined ? nameOf(last) : undefined,
  };
}
