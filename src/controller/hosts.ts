import { forgetOutcomes } from '../db/queries/host-outcomes.ts';
import {
  findHostByName,
  listHosts,
  setHostState,
  setHostStrikes,
  type HostStateChange,
} from '../db/queries/hosts.ts';
import { countLiveWorkers, liveWorkersOfHost } from '../db/queries/workers.ts';
import type { HostTaskKind } from '../domain/host-task.ts';
import type { HostView } from '../protocol/api/host-resources.ts';
import { ProblemError } from '../protocol/problem.ts';
import { change, type Context } from './context.ts';
import { removeHost } from './remove-host.ts';
import type { HostLinks } from './host-links.ts';
import { askHost, callOff } from './host-tasks.ts';
import { hostView } from './views.ts';

/** What people do with hosts. */
export class Hosts {
  readonly #context: Context;
  readonly #links: HostLinks;

  constructor(context: Context, links: HostLinks) {
    this.#context = context;
    this.#links = links;
  }

  async list(): Promise<HostView[]> {
    const counts = await countLiveWorkers(this.#context.db);
    return (await listHosts(this.#context.db)).map((row) => {
      const mine = counts.filter((group) => group.host_id === row.id);
      const workers = mine.reduce((sum, group) => sum + Number(group.n), 0);
      return hostView(row, this.#links.of(row), workers);
    });
  }

  async setState(
    name: string,
    wanted: Omit<HostStateChange, 'quarantinedUntil'>,
  ): Promise<HostView> {
    await change(this.#context, async (changes) => {
      const { tx, event } = changes;
      const row = await findHostByName(tx, name);
      if (row === undefined) throw noHost(name);
      await setHostState(tx, row.id, wanted);
      if (wanted.state === 'active') {
        // Somebody has looked at it: what was is over.
        await callOff(changes, row);
        await setHostStrikes(tx, row.id, 0);
        await forgetOutcomes(tx, row.id);
      }
      await event('host', name, wanted.state, wanted.reason);
    });
    return this.#view(name);
  }

  async #view(name: string): Promise<HostView> {
    const row = await findHostByName(this.#context.db, name);
    if (row === undefined) throw noHost(name);
    const workers = await liveWorkersOfHost(this.#context.db, row.id);
    return hostView(row, this.#links.of(row), workers.length);
  }

  /** Lets what runs end, by a time if one is given; then it stays, or is forgotten. */
  drain(name: string, withinMs: number | undefined, state: 'draining' | 'retiring') {
    const drainBy = withinMs === undefined ? undefined : this.#context.clock.now() + withinMs;
    return this.setState(name, { state, drainBy, reason: 'by hand' });
  }

  /** Has a host do something to itself, once it is empty where that ends workers. */
  async ask(name: string, kind: HostTaskKind, withinMs: number | undefined): Promise<HostView> {
    await change(this.#context, async (changes) => {
      const row = await findHostByName(changes.tx, name);
      if (row === undefined) throw noHost(name);
      await askHost(changes, row, { kind, reason: 'by hand', withinMs });
    });
    return this.#view(name);
  }

  /** Forgets a host now: its jobs are lost. */
  async remove(name: string): Promise<void> {
    await change(this.#context, async (changes) => {
      const row = await findHostByName(changes.tx, name);
      if (row === undefined) throw noHost(name);
      await removeHost(changes, row, `host ${name} was removed`);
    });
  }
}

function noHost(name: string): ProblemError {
  return new ProblemError('not_found', `there is no host ${name}; \`pomona host list\` shows them`);
}
