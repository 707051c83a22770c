import type { WebSocket } from 'ws';
import {
  endConsole,
  endConsolesOf,
  endConsolesOfOthers,
  findConsole,
  insertConsole,
  listConsoles,
} from '../../db/queries/consoles.ts';
import { factsOf, findHost } from '../../db/queries/hosts.ts';
import { findWorker, specOf } from '../../db/queries/workers.ts';
import { parseConsoleMessage, type ConsoleQuery } from '../../protocol/console.ts';
import type { ConsoleView } from '../../protocol/api/history-resources.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { change, type Context } from '../context.ts';
import type { LogFiles } from '../files/file-stores.ts';
import { asciicast, Recording } from './recording.ts';
import { consolesOf } from './ways-in.ts';

/** The host has this long to come. */
const PATIENCE_MS = 20_000;
/** A page that reads more slowly than the worker says holds it up. */
const MOST_WAITING_BYTES = 2 ** 20;
const SHOWN = 200;
/** Close codes: the console ended, or could not begin. */
const ENDED = 1000;
const FAILED = 4500;

/** What a controller that is gone had open is over: nobody would say so of it else. */
export async function endConsolesOfGone(
  { db, controllerId, clock, log }: Context,
  live: ReadonlySet<string>,
): Promise<void> {
  try {
    await endConsolesOfOthers(db, [...new Set([...live, controllerId])], clock.now());
  } catch (error) {
    log.log('warn', 'consoles of controllers that are gone are still told to be open', { error });
  }
}

interface Joined {
  readonly page: WebSocket;
  readonly hostId: string;
  readonly recording: Recording | undefined;
  agent: WebSocket | undefined;
  patience: NodeJS.Timeout | undefined;
}

/** Joins people's pages with the workers that they look into. */
export class Consoles {
  readonly #context: Context;
  readonly #logs: LogFiles;
  readonly #open = new Map<string, Joined>();

  constructor(context: Context, logs: LogFiles) {
    this.#context = context;
    this.#logs = logs;
  }

  /** Whether there is such a way into a worker. Throws ProblemError `not_found`, `conflict`. */
  async check(workerId: string, { kind }: Pick<ConsoleQuery, 'kind'>): Promise<{ hostId: string }> {
    const { db } = this.#context;
    const row = await findWorker(db, workerId);
    if (row === undefined || row.state === 'destroyed') {
      throw new ProblemError('not_found', `there is no worker ${workerId} any more`);
    }
    const host = await findHost(db, row.host_id);
    const facts = host === undefined ? undefined : factsOf(host);
    if (consolesOf(row, specOf(row), facts).includes(kind)) return { hostId: row.host_id };
    const why =
      row.state === 'running' || row.kept_until !== null
        ? `its host offers no ${kind} for it`
        : `it is ${row.state}; only workers with a job, or kept after it, can be looked into`;
    throw new ProblemError('conflict', `there is no ${kind} of worker ${workerId}: ${why}`);
  }

  /** Opens a console for a page, whose socket it takes over. */
  async open(
    page: WebSocket,
    request: ConsoleQuery & { readonly workerId: string; readonly who: string },
  ): Promise<void> {
    const { workerId, who, kind, cols, lines } = request;
    const { hostId } = await this.check(workerId, request);
    const id = this.#context.newId('c', this.#context.clock.now());
    const recording = kind === 'shell' ? new Recording(this.#logs, id) : undefined;
    const joined: Joined = { page, hostId, recording, agent: undefined, patience: undefined };
    this.#open.set(id, joined);
    page.on('message', (data: Buffer, isBinary: boolean) => this.#fromPage(joined, data, isBinary));
    page.once('close', () => void this.#end(id, 'the page went away'));
    joined.patience = setTimeout(() => {
      void this.#end(id, 'the host did not come; is it connected to a controller?', FAILED);
    }, PATIENCE_MS);
    await change(this.#context, async ({ tx, now, host }) => {
      await insertConsole(tx, {
        ...{ id, kind, worker_id: workerId, host_id: hostId, who, cols, lines, opened_at: now },
        controller_id: this.#context.controllerId,
      });
      host(hostId);
    });
    if (page.readyState !== page.OPEN) await this.#end(id, 'the page went away');
  }

  /** Whether a host is waited for by this console here. */
  awaits(id: string, hostId: string): boolean {
    const joined = this.#open.get(id);
    return joined?.hostId === hostId && joined.agent === undefined;
  }

  /** The host came: takes over its socket. */
  attach(id: string, agent: WebSocket): void {
    const joined = this.#open.get(id);
    if (joined === undefined || joined.agent !== undefined) {
      agent.close(FAILED, 'nobody waits for this console');
      return;
    }
    clearTimeout(joined.patience);
    joined.agent = agent;
    agent.on('message', (data: Buffer, isBinary: boolean) => {
      if (isBinary) this.#fromAgent(id, joined, agent, data);
    });
    agent.once('close', (code: number, reason: Buffer) => {
      const said = reason.toString('utf8') || 'the connection to the host broke';
      void this.#end(id, said, code === ENDED ? ENDED : FAILED);
    });
    joined.page.send(JSON.stringify({ type: 'open' }));
  }

  async list(): Promise<ConsoleView[]> {
    const rows = await listConsoles(this.#context.db, SHOWN);
    return rows.map((row) => ({
      ...{ id: row.id, kind: row.kind, workerId: row.worker_id, who: row.who },
      openedAt: Number(row.opened_at),
      ...(row.ended_at === null ? {} : { endedAt: Number(row.ended_at) }),
      bytes: Number(row.bytes),
    }));
  }

  /** What a shell showed. Throws ProblemError `not_found`. */
  async recording(id: string): Promise<AsyncGenerator<string>> {
    const row = await findConsole(this.#context.db, id);
    if (row === undefined || row.kind !== 'shell') {
      throw new ProblemError('not_found', `there is no recording of a console ${id}`);
    }
    return asciicast(this.#logs, row);
  }

  /** Ends all that are open here. */
  async close(): Promise<void> {
    const ids = [...this.#open.keys()];
    await Promise.all(ids.map((id) => this.#end(id, 'the controller stops; open it again', 1012)));
    const { db, controllerId, clock } = this.#context;
    await endConsolesOf(db, controllerId, clock.now());
  }

  #fromPage({ agent }: Joined, data: Buffer, isBinary: boolean): void {
    if (agent === undefined || agent.readyState !== agent.OPEN) return;
    if (isBinary) agent.send(data);
    else if (parseConsoleMessage(data.toString('utf8'))?.type === 'size') {
      agent.send(data.toString('utf8'));
    }
  }

  #fromAgent(id: string, joined: Joined, agent: WebSocket, data: Buffer): void {
    const { page, recording } = joined;
    try {
      recording?.add(data, this.#context.clock.now());
    } catch (error) {
      this.#context.log.log('error', 'a shell is not recorded', { id, error });
      void this.#end(id, 'what it shows cannot be recorded; see the controller’s log', FAILED);
      return;
    }
    page.send(data, () => {
      if (agent.isPaused && page.bufferedAmount < MOST_WAITING_BYTES) agent.resume();
    });
    if (page.bufferedAmount >= MOST_WAITING_BYTES) agent.pause();
  }

  async #end(id: string, reason: string, code = ENDED): Promise<void> {
    const joined = this.#open.get(id);
    if (joined === undefined) return;
    this.#open.delete(id);
    clearTimeout(joined.patience);
    // A reason has 123 bytes at most.
    const said = Buffer.from(reason).subarray(0, 120).toString('utf8').replace(/�$/, '');
    joined.agent?.resume();
    joined.agent?.close(ENDED, said);
    joined.page.close(code, said);
    try {
      await joined.recording?.close();
      await change(this.#context, async ({ tx, now, host }) => {
        await endConsole(tx, { id, bytes: joined.recording?.bytes ?? 0, now });
        host(joined.hostId);
      });
    } catch (error) {
      this.#context.log.log('warn', 'the end of a console was not recorded', { id, error });
    }
  }
}
