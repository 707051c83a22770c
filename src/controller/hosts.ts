import type { HostState } from '../domain/host.ts';
import {
  deleteHost,
  findHostByName,
  listHosts,
  setHostState,
  type HostRow,
} from '../db/queries/hosts.ts';
import { findJob } from '../db/queries/jobs.ts';
import { countLiveWorkers, liveWorkersOfHost, setWorkerState } from '../db/queries/workers.ts';
import type { HostView } from '../protocol/api/resources.ts';
import { ProblemError } from '../protocol/problem.ts';
import { change, type Context } from './context.ts';
import { loseJob } from './job-endings.ts';
import type { AgentSessions } from './sessions/agent-sessions.ts';
import { hostView } from './views.ts';

/** What people do with hosts. */
export class Hosts {
  readonly #context: Context;
  readonly #sessions: AgentSessions;

  constructor(context: Context, sessions: AgentSessions) {
    this.#context = context;
    this.#sessions = sessions;
  }

  async list(): Promise<HostView[]> {
    const counts = await countLiveWorkers(this.#context.db);
    return (await listHosts(this.#context.db)).map((row) => {
      const mine = counts.filter((group) => group.host_id === row.id);
      const workers = mine.reduce((sum, group) => sum + Number(group.n), 0);
      return hostView(row, this.#sessions.link(row.id), workers);
    });
  }

  async setState(name: string, state: HostState): Promise<HostView> {
    await change(this.#context, async ({ tx, event }) => {
      const row = await findHostByName(tx, name);
      if (row === undefined) throw noHost(name);
      await setHostState(tx, row.id, state);
      await event('host', name, state);
    });
    const view = (await this.list()).find((host) => host.name === name);
    if (view === undefined) throw noHost(name);
    return view;
  }

  /** Forgets a host: its credential ends, its workers count as destroyed, its jobs are lost. */
  async remove(name: string): Promise<void> {
    const removed = await change(this.#context, async (changes): Promise<HostRow> => {
      const row = await findHostByName(changes.tx, name);
      if (row === undefined) throw noHost(name);
      const reason = `host ${name} was removed`;
      for (const worker of await liveWorkersOfHost(changes.tx, row.id)) {
        await setWorkerState(changes.tx, {
          id: worker.id,
          state: 'destroyed',
          reason,
          now: changes.now,
        });
        await changes.event('worker', worker.id, 'destroyed', reason);
        const job = worker.job_id === null ? undefined : await findJob(changes.tx, worker.job_id);
        if (job?.worker_id === worker.id) await loseJob(changes, job, { ran: true, reason });
      }
      await deleteHost(changes.tx, row.id);
      await changes.event('host', name, 'removed');
      return row;
    });
    this.#sessions.expel(removed.id);
  }
}

function noHost(name: string): ProblemError {
  return new ProblemError('not_found', `there is no host ${name}; \`pomona host list\` shows them`);
}
