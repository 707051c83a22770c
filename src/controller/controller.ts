import { hkdfSync, randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { newId } from '../domain/ids.ts';
import { Registry } from 'prom-client';
import { initSetting } from '../db/queries/settings.ts';
import { migrate } from '../db/migrate.ts';
import { openSqlite } from '../db/sqlite.ts';
import { openPostgres } from '../db/postgres.ts';
import type { Database } from '../db/database.ts';
import type { BlobStore } from '../drivers/blob/blob.ts';
import { endConsolesOfOthers } from '../db/queries/consoles.ts';
import { closeAllSessions } from '../db/queries/hosts.ts';
import type { Pool } from '../domain/pool.ts';
import type { FleetRules } from '../domain/scheduling/rules.ts';
import { isMissing, writeFileAtomic, writeJson } from '../platform/atomic-file.ts';
import { systemClock } from '../platform/clock.ts';
import { lockDirectory } from '../platform/directory-lock.ts';
import type { Logger } from '../platform/logger.ts';
import { VERSION } from '../platform/version.ts';
import { AlertSender, type AlertTarget } from './alerts/alerts.ts';
import { Auth } from './auth.ts';
import { Integrations } from './ci/integrations.ts';
import type { IntegrationOrder } from './ci/integration.ts';
import { ANYTHING, ChangeBus } from './change-bus.ts';
import { Consoles, endConsolesOfGone } from './consoles/consoles.ts';
import type { Context } from './context.ts';
import { openFiles } from './files/open-files.ts';
import { handlersOf, type PlanFleet } from './handlers.ts';
import { HostRollouts } from './host-rollouts.ts';
import { Hosts } from './hosts.ts';
import { createServer } from './http/server.ts';
import { deliveryPort, eventsPort, jobsPort } from './http-ports.ts';
import type { HostPrices } from './history/history.ts';
import { SAMPLE_MS, samplePools } from './history/samples.ts';
import { ImageTurnTaking } from './image-turns.ts';
import { Jobs } from './jobs.ts';
import { letKeptWorkersGo, LOOK_MS } from './kept-workers.ts';
import { LeasedTask } from './leased-task.ts';
import { LiveFleet } from './live/live-fleet.ts';
import { LogKeeper } from './logs/log-keeper.ts';
import { registerFleetMetrics } from './metrics.ts';
import { Pools } from './pools.ts';
import { Rollouts } from './rollouts.ts';
import { HostLinks } from './host-links.ts';
import { controllerIdOf, Leases } from './leases.ts';
import { hearOthers } from './relay.ts';
import { Reconciler } from './reconcile/reconciler.ts';
import { keepTidy, type RetentionRules } from './retention.ts';
import { Secrets, checkSecretsKey, loadSecretsKey } from './secrets.ts';
import { AgentSessions } from './sessions/agent-sessions.ts';
import { webPort, type DashboardOptions } from './web/web-port.ts';

export interface ControllerOptions {
  /** Of this controller, for people. */
  readonly name: string;
  readonly dataDir: string;
  readonly listen: { readonly host: string; readonly port: number };
  /** `postgres://...`; absent: SQLite in the data directory. */
  readonly database?: string;
  /**
   * Logs, artifacts and sources, a directory or `s3://bucket/prefix`: shared by controllers of one
   * database. Default: in `dataDir`.
   */
  readonly files?: string;
  /** Opens `s3://bucket/prefix`; absent: `files` is a directory. */
  readonly openBlobs?: (location: string) => Promise<BlobStore>;
  /** File with the key of secrets, the same for controllers of one database. Default: in `dataDir`. */
  readonly secretsKey?: string;
  readonly pools: readonly Pool[];
  readonly integrations: readonly IntegrationOrder[];
  readonly hostLostAfterMs: number;
  readonly rules: FleetRules;
  readonly alerts: readonly AlertTarget[];
  readonly dashboard: DashboardOptions;
  /** What hosts cost; absent: nobody said. */
  readonly prices?: HostPrices;
  readonly planFleet: PlanFleet;
  readonly limits: { readonly sourceBytes: number; readonly artifactBytes: number };
  readonly retention: RetentionRules;
  readonly log: Logger;
  /** What this process is called when it is found to hold the data directory. */
  readonly program: string;
}

export interface Controller {
  readonly url: string;
  /** Makes a token with which one agent may join within a few minutes. */
  joinToken(): Promise<string>;
  close(): Promise<void>;
}

/**
 * Starts a controller on its data directory and returns once it serves. Throws
 * `DirectoryInUseError`, `DatabaseError`, or the system's error when it cannot listen.
 */
export async function startController(options: ControllerOptions): Promise<Controller> {
  const { dataDir } = options;
  await mkdir(dataDir, { recursive: true, mode: 0o711 });
  await chmod(dataDir, 0o711);
  const lock = await lockDirectory(join(dataDir, 'controller'), options.program);
  const undo: (() => Promise<void> | void)[] = [() => lock.release()];
  try {
    return await start(options, undo);
  } catch (error) {
    for (const step of undo.toReversed()) await step();
    throw error;
  }
}

async function start(
  options: ControllerOptions,
  undo: (() => Promise<void> | void)[],
): Promise<Controller> {
  const dir = join(options.dataDir, 'controller');
  const db = await openDatabase(options, dir);
  undo.push(() => db.close());
  await migrate(db);
  const fleet = await initSetting(db, 'fleet', randomBytes(3).toString('hex'));
  const context: Context = {
    db,
    clock: systemClock,
    bus: new ChangeBus(),
    log: options.log,
    newId,
    fleet,
    controllerId: controllerIdOf(options.name),
  };
  if (!db.shared) await forgetEarlierProcess(db, context);
  const hearing = hearOthers(db, context.controllerId, context.bus);
  undo.push(() => hearing.close());
  const auth = new Auth(context);
  const key = await loadSecretsKey(options.secretsKey ?? join(dir, 'secrets.key'));
  await checkSecretsKey(db, key);
  const secrets = new Secrets(context, key);
  const links = new HostLinks(context.clock);
  const leases = new Leases(context, {
    live: (controllers) => {
      if (!links.setLive(controllers)) return;
      void endConsolesOfGone(context, controllers);
      context.bus.publish(ANYTHING);
    },
    alone: () => sessions.closeAll('the controller does not reach its database'),
  });
  undo.push(() => leases.close());
  const scheduling = leases.want('scheduling');
  const tidiness = leases.want('tidiness');
  const sessions = new AgentSessions(context, secrets, peerKeyOf(key));
  undo.push(() => sessions.close());
  const imageTurns = new ImageTurnTaking(context, links);
  const pools = new Pools(context);
  const rollouts = new Rollouts(context);
  await pools.configure(options.pools, 'config');
  await ensureAdminToken(auth, options.dataDir);

  const { logs, sources, artifacts, ...files } = await openFiles(db, dir, options);
  undo.push(() => files.close());
  const logKeeper = new LogKeeper(context, { lease: tidiness, logs });
  undo.push(() => logKeeper.close());
  const reconciler = new Reconciler(context, {
    ...{ links, lease: scheduling },
    hostLostAfterMs: options.hostLostAfterMs,
    rules: options.rules,
  });
  undo.push(() => reconciler.close());
  const jobs = new Jobs(context, {
    pools,
    secrets,
    reconciler,
    // A source that is used again is spared by retention for a while.
    hasSource: async (digest) => (await sources.touch(digest)) !== undefined,
  });
  const hosts = new Hosts(context, links);
  const kept = new LeasedTask(context, scheduling, {
    ...{ everyMs: LOOK_MS, work: letKeptWorkersGo, failure: 'kept workers were not looked at' },
  });
  undo.push(() => kept.close());
  const sampler = new LeasedTask(context, scheduling, {
    ...{ everyMs: SAMPLE_MS, work: samplePools, failure: 'how pools are was not written down' },
  });
  undo.push(() => sampler.close());
  const consoles = new Consoles(context, logs);
  undo.push(() => consoles.close());
  const live = new LiveFleet(context, links);
  undo.push(() => live.close());
  const hostRollouts = new HostRollouts(context, { links, lease: scheduling });
  undo.push(() => hostRollouts.close());
  const integrations = new Integrations(context, options.integrations, {
    ...{ pools, secrets, sources, logs, leases },
  });
  undo.push(() => integrations.close());
  for (const target of options.alerts) {
    const lease = leases.want(`alerts ${target.name}`);
    const sender = new AlertSender(context, target, { lease, secrets });
    undo.push(() => sender.close());
  }
  await integrations.retireOthers();
  const registry = new Registry();
  registerFleetMetrics(registry, context, links);

  let ready = false;
  const server = createServer({
    handlers: handlersOf(context, {
      ...{ auth, hostRollouts, hosts, integrations, jobs, pools, rollouts, secrets, consoles },
      ...{ prices: options.prices, planFleet: options.planFleet },
    }),
    receiveWebhook: (name, delivery) => integrations.receive(name, delivery),
    ...{ logs, sources, artifacts },
    registry,
    log: options.log,
    version: VERSION,
    ready: () => ready,
    authenticate: (bearer) => auth.authenticate(bearer),
    jobs: jobsPort(context),
    ...{ live, consoles, web: webPort(context, secrets, options.dashboard) },
    events: eventsPort(context),
    agents: {
      ...deliveryPort(context),
      imageTurns: (hostId, images) => imageTurns.take(hostId, images),
      onSession: (socket, host) => sessions.attach(socket, host),
      join: (token, { name }) => auth.join(token, name, (host) => links.of(host).online),
    },
  });
  undo.push(() => server.close());
  await leases.tick();
  const url = await listen(server, options);
  ready = true;
  const addressPath = join(options.dataDir, 'controller.json');
  await writeJson(addressPath, { url, pid: process.pid }, { mode: 0o644 });
  undo.push(() => rm(addressPath, { force: true }));
  const tidying = keepTidy(context, tidiness, options.retention, { logs, artifacts, sources });
  undo.push(() => tidying.stop());
  return {
    url,
    joinToken: async () => (await auth.createJoinToken({ ttlMs: 600_000, uses: 1 })).token,
    close: async () => {
      ready = false;
      for (const step of undo.toReversed()) await step();
    },
  };
}

function openDatabase({ database }: ControllerOptions, dir: string): Promise<Database> {
  if (database !== undefined) return openPostgres(database);
  return Promise.resolve(openSqlite(join(dir, 'pomona.db')));
}

/** Whoever had the directory before is gone: what it held is free. */
async function forgetEarlierProcess(db: Database, { controllerId, clock }: Context): Promise<void> {
  await db.transaction(async (tx) => {
    await endConsolesOfOthers(tx, [controllerId], clock.now());
    await closeAllSessions(tx);
    await tx.run('DELETE FROM leases');
  });
}

async function listen(
  server: ReturnType<typeof createServer>,
  options: ControllerOptions,
): Promise<string> {
  const { host, port } = options.listen;
  try {
    await server.listen(host, port);
    return server.url;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== 'EADDRINUSE' && code !== 'EACCES' && code !== 'EADDRNOTAVAIL') throw cause;
    const why = {
      EADDRINUSE: 'another program listens there',
      EACCES: 'this user may not listen there',
      EADDRNOTAVAIL: 'this machine has no such address',
    }[code];
    throw new ListenError(`cannot listen on ${host}:${port}: ${why}; choose with --listen`, {
      cause,
    });
  }
}

/** Thrown when the address to listen on cannot be had. */
export class ListenError extends Error {
  readonly code = 'listen';
}

/** The first admin token: for the CLI of whoever may read the data directory. */
async function ensureAdminToken(auth: Auth, dataDir: string): Promise<void> {
  const path = join(dataDir, 'admin.token');
  try {
    const known = (await readFile(path, 'utf8')).trim();
    if ((await auth.authenticate(known)) !== undefined) return;
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  const { token } = await auth.createToken({ name: 'admin', role: 'admin', ttlMs: undefined });
  await writeFileAtomic(path, `${token}\n`, { mode: 0o600, flush: true });
}

/** What hosts of the fleet prove themselves by to each other; it comes with their sessions. */
function peerKeyOf(key: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', key, '', 'pomona peers', 32));
}
