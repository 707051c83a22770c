import type { AgentSocket } from './agent-socket.ts';
import type { HostFacts } from '../../domain/host.ts';
import type { ObservedTask } from '../../domain/host-task.ts';
import {
  closeSession,
  findHost,
  openSession,
  saveHostFacts,
  saveHostSeen,
} from '../../db/queries/hosts.ts';
import {
  CLOSE,
  SESSION_PROTOCOL,
  agentMessageSchema,
  parseMessage,
  type AgentMessage,
  type ControllerMessage,
} from '../../protocol/session.ts';
import type { Change } from '../change-bus.ts';
import { change, type Context } from '../context.ts';
import { hostSource, LeakTeller } from '../leaks.ts';
import { endTask } from '../host-tasks.ts';
import type { Secrets } from '../secrets.ts';
import { DISK_LOW_BYTES } from '../../domain/host.ts';
import { desiredConsoles, desiredImages, desiredTask, desiredWorkers } from './desired.ts';
import { observe } from './observe.ts';

/** An agent says something at least this often. */
export const HEARTBEAT_MS = 10_000;
/** More than networks and loads explain. */
const CLOCK_OFF_S = 60;
/** A session with nothing heard for this long is closed. */
const SILENCE_MS = 3 * HEARTBEAT_MS;

/** The sessions that agents have with this controller: one a host, in all the fleet. */
export class AgentSessions {
  readonly #context: Context;
  readonly #secrets: Secrets;
  readonly #peerKey: Buffer;
  readonly #sessions = new Map<string, AgentSession>();
  /** Sessions that are over, until the database says so. */
  readonly #ended = new Set<AgentSession>();
  readonly #unlisten: () => void;
  readonly #stopSweeping: () => void;

  constructor(context: Context, secrets: Secrets, peerKey: Buffer) {
    this.#peerKey = peerKey;
    this.#context = context;
    this.#secrets = secrets;
    this.#unlisten = context.bus.listen((changed) => this.#changed(changed));
    this.#stopSweeping = context.clock.every(HEARTBEAT_MS, () => this.#tidy());
  }

  /** Takes over a socket that was authenticated as this host's. An earlier session ends. */
  attach(socket: AgentSocket, host: { readonly id: string; readonly name: string }): void {
    this.#sessions.get(host.id)?.close(CLOSE.superseded, 'another agent of this host connected');
    const parts = { secrets: this.#secrets, peerKey: this.#peerKey };
    const session = new AgentSession(this.#context, parts, socket, host);
    this.#sessions.set(host.id, session);
    socket.once('close', () => {
      if (this.#sessions.get(host.id) !== session) return;
      this.#sessions.delete(host.id);
      this.#ended.add(session);
      void this.#recordEnds();
    });
  }

  /** Has the agents go to another controller, or come again. */
  closeAll(reason: string): void {
    for (const session of this.#sessions.values()) session.close(1012, reason);
  }

  close(): void {
    this.#stopSweeping();
    this.#unlisten();
    this.closeAll('the controller stops');
  }

  #changed({ hosts, rows, all }: Change): void {
    const names = new Set(rows.flatMap(({ kind, subject }) => (kind === 'host' ? [subject] : [])));
    for (const hostId of hosts) this.#sessions.get(hostId)?.sendDesiredSoon();
    // Most changes are of jobs and workers: then nobody is looked through.
    if (!all && names.size === 0) return;
    for (const session of [...this.#sessions.values()]) {
      if (all) session.sendDesiredSoon();
      if (all || names.has(session.hostName)) void session.endIfOver();
    }
  }

  #tidy(): void {
    this.#closeSilent();
    void this.#recordEnds();
  }

  /** What the database did not take is said again. */
  async #recordEnds(): Promise<void> {
    for (const session of this.#ended) {
      try {
        await session.recordEnd();
        this.#ended.delete(session);
      } catch (error) {
        this.#context.log.log('warn', 'the end of a session was not recorded', { error });
      }
    }
  }

  #closeSilent(): void {
    const now = this.#context.clock.monotonic();
    for (const session of this.#sessions.values()) {
      if (now - session.heardAt > SILENCE_MS) session.terminate();
    }
  }
}

interface SessionParts {
  readonly secrets: Secrets;
  readonly peerKey: Buffer;
}

class AgentSession {
  readonly #context: Context;
  readonly #parts: SessionParts;
  readonly #socket: AgentSocket;
  readonly #host: { readonly id: string; readonly name: string };
  /** Messages are taken in one after the other. */
  #inbox: Promise<void> = Promise.resolve();
  #sending = false;
  #dirty = false;
  #hello: Extract<AgentMessage, { type: 'hello' }> | undefined;
  /** Session of the host that was the last when it was welcome. */
  #before = 0;
  #number: number | undefined;
  /** What is wrong with the host, as it was told. */
  readonly #wrong = new Set<string>();
  readonly #leaks: LeakTeller;
  welcomed = false;
  heardAt: number;

  constructor(
    context: Context,
    parts: SessionParts,
    socket: AgentSocket,
    host: { readonly id: string; readonly name: string },
  ) {
    this.#context = context;
    this.#parts = parts;
    this.#socket = socket;
    this.#host = host;
    this.#leaks = new LeakTeller(context, hostSource(host.id));
    this.heardAt = context.clock.monotonic();
    socket.on('message', (data: Buffer) => {
      this.heardAt = context.clock.monotonic();
      this.#inbox = this.#inbox
        .then(() => this.#receive(data))
        .catch((error: unknown) => {
          context.log.log('error', 'an agent message failed', { host: host.name, error });
          this.close(1011, 'the controller could not take in a message');
        });
    });
    socket.on('error', (error) => {
      context.log.log('warn', 'an agent session broke', { host: host.name, error: error.message });
    });
  }

  get hostName(): string {
    return this.#host.name;
  }

  close(code: number, reason: string): void {
    this.#socket.close(code, reason);
  }

  /** The host may have been removed, or have a session with another controller by now. */
  async endIfOver(): Promise<void> {
    if (this.#number === undefined) return;
    const row = await findHost(this.#context.db, this.#host.id).catch(() => 'unknown' as const);
    if (row === 'unknown') return;
    if (row === undefined) this.close(CLOSE.unauthorized, 'this host was removed');
    else if (row.session_no > this.#number) {
      this.close(CLOSE.superseded, 'another agent of this host connected');
    }
  }

  async recordEnd(): Promise<void> {
    const no = this.#number;
    if (no === undefined) return;
    await change(this.#context, async ({ tx, event }) => {
      if (await closeSession(tx, this.#host.id, no))
        await event('host', this.#host.name, 'offline');
    });
  }

  terminate(): void {
    this.#context.log.log('warn', 'an agent fell silent', { host: this.#host.name });
    this.#socket.terminate();
  }

  /** Sends the desired state once what was committed is safe on disk; calls meanwhile share one. */
  sendDesiredSoon(): void {
    this.#dirty = true;
    if (this.#sending || !this.welcomed) return;
    this.#sending = true;
    this.#sendDesired()
      .catch((error: unknown) => {
        this.#context.log.log('error', 'desired state not sent', { host: this.#host.name, error });
        this.close(1011, 'the controller could not read the desired state');
      })
      .finally(() => {
        this.#sending = false;
      });
  }

  async #sendDesired(): Promise<void> {
    while (this.#dirty && this.#socket.readyState === this.#socket.OPEN) {
      this.#dirty = false;
      await this.#context.db.flush();
      const workers = await desiredWorkers(this.#context, this.#parts.secrets, this.#host.id);
      const images = await desiredImages(this.#context, this.#host.id);
      const task = await desiredTask(this.#context, this.#host.id);
      const consoles = await desiredConsoles(this.#context, this.#host.id);
      await this.#send({
        ...{ type: 'desired', workers, images },
        ...(task === undefined ? {} : { task }),
        ...(consoles.length === 0 ? {} : { consoles }),
      });
    }
  }

  async #receive(data: Buffer): Promise<void> {
    const message = parseMessage(agentMessageSchema, data);
    if (typeof message === 'string') return this.close(CLOSE.badMessage, message);
    if (message.type === 'hello') return this.#answer(message);
    if (this.#hello === undefined) return this.close(CLOSE.badMessage, 'expected hello first');
    if (this.#number === undefined) return this.#begin(message, this.#hello);
    if (message.facts !== undefined) await this.#saveFacts(message.facts, undefined);
    await observe(this.#context, this.#host.id, message, this.#number);
    await this.#heedTask(message.task);
    if (message.leaks !== undefined) await this.#leaks.tell(message.leaks);
    await this.#lookAtHost(message);
  }

  async #answer(message: Extract<AgentMessage, { type: 'hello' }>): Promise<void> {
    if (message.protocol !== SESSION_PROTOCOL) {
      return this.close(
        CLOSE.protocol,
        `this controller speaks session protocol ${SESSION_PROTOCOL}, the agent ${message.protocol}`,
      );
    }
    const row = await findHost(this.#context.db, this.#host.id);
    if (row === undefined) return this.close(CLOSE.unauthorized, 'this host was removed');
    this.#before = row.session_no;
    this.#hello = message;
    await this.#send({
      type: 'welcome',
      fleet: this.#context.fleet,
      hostId: this.#host.id,
      heartbeatMs: HEARTBEAT_MS,
      peerKey: this.#parts.peerKey.toString('base64'),
    });
  }

  /** How the host is, beside its workers. What is wrong with it is told once. */
  async #lookAtHost({
    diskFreeBytes,
    clock,
  }: Extract<AgentMessage, { type: 'observed' }>): Promise<void> {
    const { db } = this.#context;
    const now = this.#context.clock.now();
    await saveHostSeen(db, { id: this.#host.id, now, diskFreeBytes });
    if (diskFreeBytes !== undefined) {
      const gib = (diskFreeBytes / 2 ** 30).toFixed(1);
      await this.#tellIf('disk-low', diskFreeBytes < DISK_LOW_BYTES, `${gib} GiB are free`);
    }
    if (clock !== undefined) {
      const seconds = Math.round((clock - now) / 1_000);
      const said = `it is ${Math.abs(seconds)} s ${seconds < 0 ? 'behind' : 'ahead'}`;
      await this.#tellIf('clock-off', Math.abs(seconds) > CLOCK_OFF_S, said);
    }
  }

  async #tellIf(state: string, is: boolean, reason: string): Promise<void> {
    if (this.#wrong.has(state) === is) return;
    if (is) this.#wrong.add(state);
    else this.#wrong.delete(state);
    const now = is ? state : `${state}-no-more`;
    await change(this.#context, ({ event }) => event('host', this.#host.name, now, reason));
  }

  async #heedTask(task: ObservedTask | undefined): Promise<void> {
    if (task === undefined) return;
    await change(this.#context, (changes) => endTask(changes, this.#host.id, task));
  }

  /** The agent answered: what it says is newer than its last session. */
  async #begin(
    { complete, workers, task }: Extract<AgentMessage, { type: 'observed' }>,
    { facts, agentVersion }: Extract<AgentMessage, { type: 'hello' }>,
  ): Promise<void> {
    if (!complete) return this.close(CLOSE.badMessage, 'expected all workers first');
    // Whatever else of this host is connected, here or elsewhere, is heard no longer. What comes from
    // a connection that was left for another, and was long under way, takes nothing over.
    const session = { id: this.#host.id, holder: this.#context.controllerId, before: this.#before };
    const number = await this.#context.db.transaction((tx) => openSession(tx, session));
    if (number === undefined)
      return this.close(1012, 'another session of this host began meanwhile');
    this.#number = number;
    await observe(this.#context, this.#host.id, { complete, workers }, number);
    await this.#saveFacts(facts, agentVersion);
    await this.#heedTask(task);
    this.welcomed = true;
    this.sendDesiredSoon();
  }

  async #saveFacts(facts: HostFacts, agentVersion: string | undefined): Promise<void> {
    await this.#tellIf(
      'slot-leaked',
      facts.macosSlots?.leaked === true,
      'it is rebooted when empty',
    );
    await change(this.#context, async ({ tx, event }) => {
      await saveHostFacts(tx, { id: this.#host.id, facts, agentVersion });
      await event('host', this.#host.name, 'online');
    });
  }

  #send(message: ControllerMessage): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#socket.send(JSON.stringify(message), (error) => {
      if (error === undefined || error === null) resolve();
      else if (this.#socket.readyState === this.#socket.OPEN) reject(error);
      else resolve();
    });
    return promise;
  }
}
