import { explainRoute } from '../../domain/ci/routes.ts';
import { nearest } from '../../domain/nearest.ts';
import { ownedPrefix } from '../../domain/ids.ts';
import type { Pool } from '../../domain/pool.ts';
import { pause, resume } from '../../db/queries/ci/pauses.ts';
import { runnerJobsOfAll } from '../../db/queries/ci/runners.ts';
import { findJob } from '../../db/queries/jobs.ts';
import { CiError, type CheckLine, type CiTools, type Delivery } from '../../drivers/ci/ci.ts';
import type {
  CiExplanation,
  CiJobView,
  CiQuestion,
  IntegrationView,
} from '../../protocol/api/ci-resources.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { change, type Context } from '../context.ts';
import type { LogFiles, SourceFiles } from '../files/file-stores.ts';
import { cancelJob } from '../job-endings.ts';
import type { Leases } from '../leases.ts';
import type { Pools } from '../pools.ts';
import type { Secrets } from '../secrets.ts';
import { Integration, type IntegrationOrder } from './integration.ts';
import { SourceKeeper } from './keep-source.ts';
import { runningRunners, tailOf } from './running.ts';
import { ciJobViews, integrationView } from './views.ts';

interface Parts {
  readonly pools: Pools;
  readonly secrets: Secrets;
  readonly sources: SourceFiles;
  readonly logs: LogFiles;
  readonly leases: Leases;
}

const CHECK_TIMEOUT_MS = 60_000;

/** The integrations of the configuration, at work. */
export class Integrations {
  readonly #context: Context;
  readonly #pools: Pools;
  readonly #byName: ReadonlyMap<string, Integration>;

  constructor(context: Context, orders: readonly IntegrationOrder[], parts: Parts) {
    this.#context = context;
    this.#pools = parts.pools;
    const sources = new SourceKeeper(parts.sources);
    const toolsFor = (name: string): CiTools => ({
      ...{ clock: context.clock, log: context.log, owned: ownedPrefix(context.fleet) },
      secret: (secret) => secretOf(parts.secrets, secret),
      keepSource: (file, signal) => sources.keep(file, signal),
      fetchSource: (file, signal) => sources.fetch(file, signal),
      running: () => runningRunners(context, parts.logs, name),
    });
    this.#byName = new Map(
      orders.map((order) => {
        const integration = new Integration(context, order.settings, {
          ...{ driver: order.open(toolsFor(order.settings.name)), secrets: parts.secrets },
          lease: parts.leases.want(`integration ${order.settings.name}`),
          pools: () => parts.pools.all(),
          tailOf: (jobId, epoch) => tailOf(parts.logs, jobId, epoch),
        });
        return [order.settings.name, integration];
      }),
    );
  }

  /** Ends what is left of integrations that are not in the configuration any more. */
  async retireOthers(): Promise<void> {
    const { db, log } = this.#context;
    for (const { id, integration } of await runnerJobsOfAll(db)) {
      if (this.#byName.has(integration)) continue;
      log.log('warn', `integration ${integration} is gone; its runner is ended`, { job: id });
      await change(this.#context, async (changes) => {
        const job = await findJob(changes.tx, id);
        if (job !== undefined) await cancelJob(changes, job, 'its integration was removed');
      });
    }
  }

  /** What they lacked may be there now. */
  tryAgain(): void {
    for (const integration of this.#byName.values()) integration.tryAgain();
  }

  async list(): Promise<IntegrationView[]> {
    const pools = await this.#pools.all();
    const all = [...this.#byName.values()];
    return Promise.all(all.map((each) => integrationView(this.#context, each, pools)));
  }

  async jobs(name: string): Promise<CiJobView[]> {
    return ciJobViews(this.#context, this.#find(name), await this.#pools.all());
  }

  /** Where a job would go, in each integration or in one. */
  async explain(question: CiQuestion): Promise<CiExplanation[]> {
    const { integration, labels, source, event, fork, author, approved } = question;
    const asked =
      integration === undefined ? [...this.#byName.values()] : [this.#find(integration)];
    const pools: readonly Pool[] = await this.#pools.all();
    const job = { labels, source, event: { name: event, fork, author, approved } };
    return asked.map((each): CiExplanation => {
      const { result, lines } = explainRoute(job, each.rules, pools);
      const shown = lines.map((line) => ({ ...line }));
      const { name } = each.settings;
      if (!result.taken) {
        return { integration: name, taken: false, summary: result.reason, lines: shown };
      }
      const { pool, trust, priority, team } = result.runnerClass;
      const summary = `it goes to pool ${pool} as ${trust}: ${result.reason}`;
      const way = { pool, trust, priority, team };
      return { integration: name, taken: true, ...way, summary, lines: shown };
    });
  }

  check(name: string): Promise<CheckLine[]> {
    return this.#find(name).driver.check(AbortSignal.timeout(CHECK_TIMEOUT_MS));
  }

  async pause(name: string): Promise<IntegrationView> {
    const found = this.#find(name);
    await change(this.#context, async ({ tx, now, event }) => {
      await pause(tx, { integration: name, reason: 'by hand', at: now });
      await event('integration', name, 'paused', 'by hand');
    });
    return integrationView(this.#context, found, await this.#pools.all());
  }

  async resume(name: string): Promise<IntegrationView> {
    const found = this.#find(name);
    await change(this.#context, async ({ tx, event }) => {
      await resume(tx, name);
      await event('integration', name, 'resumed');
    });
    found.poke({ look: true });
    return integrationView(this.#context, found, await this.#pools.all());
  }

  /** Takes in a webhook's delivery. Throws ProblemError when it is not as it should be. */
  async receive(name: string, delivery: Delivery): Promise<'accepted' | 'known'> {
    const integration = this.#byName.get(name);
    // What nobody may know is said to nobody: not which names there are.
    if (integration === undefined) throw unsigned();
    try {
      return await integration.receive(delivery);
    } catch (error) {
      if (!(error instanceof CiError)) throw error;
      integration.health.failed('a delivery', error);
      if (error.code === 'refused') throw new ProblemError('bad_request', error.message);
      if (error.code === 'unauthorized') throw unsigned();
      throw new ProblemError('not_ready', `it is to be delivered again: ${error.code}`);
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#byName.values()].map((each) => each.close()));
  }

  #find(name: string): Integration {
    const found = this.#byName.get(name);
    if (found !== undefined) return found;
    const names = [...this.#byName.keys()];
    const near = nearest(name, names);
    const hint = near === undefined ? '' : `; did you mean ${near}?`;
    const known = `there are: ${names.join(', ') || 'none; add `integrations` to pomona.yaml'}`;
    throw new ProblemError('not_found', `there is no integration ${name}${hint} (${known})`);
  }
}

function unsigned(): ProblemError {
  return new ProblemError('unauthenticated', 'the signature of the delivery is not accepted');
}

async function secretOf(secrets: Secrets, name: string): Promise<string> {
  const value = (await secrets.valuesOf([name]))[name];
  if (value !== undefined) return value;
  throw new CiError('no_secret', `there is no secret ${name}; set it: pomona secret set ${name}`);
}
