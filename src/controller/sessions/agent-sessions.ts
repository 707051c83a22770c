import type { WebSocket } from 'ws';
import type { HostFacts } from '../../domain/host.ts';
import { saveHostFacts, saveHostSeen } from '../../db/queries/hosts.ts';
import {
  CLOSE,
  SESSION_PROTOCOL,
  agentMessageSchema,
  parseMessage,
  type AgentMessage,
  type ControllerMessage,
} from '../../protocol/session.ts';
import { change, type Context } from '../context.ts';
import type { Secrets } from '../secrets.ts';
import { desiredImages, desiredWorkers } from './desired.ts';
import { observe, type WorkerOutcomes } from './observe.ts';

/** An agent says something at least this often. */
export const HEARTBEAT_MS = 10_000;
/** A session with nothing heard for this long is closed. */
const SILENCE_MS = 3 * HEARTBEAT_MS;

/** A host's link to this controller, by the controller's own clock. */
export interface HostLink {
  readonly online: boolean;
  readonly silentForMs: number;
}

/** The open sessions of agents, one a host. */
export class AgentSessions {
  readonly #context: Context;
  readonly #secrets: Secrets;
  readonly #outcomes: WorkerOutcomes;
  readonly #peerKey: Buffer;
  readonly #sessions = new Map<string, AgentSession>();
  /** When the last session of a host ended, by the monotonic clock. */
  readonly #endedAt = new Map<string, number>();
  readonly #startedAt: number;
  readonly #unlisten: () => void;
  readonly #sweep: NodeJS.Timeout;

  constructor(context: Context, secrets: Secrets, outcomes: WorkerOutcomes, peerKey: Buffer) {
    this.#peerKey = peerKey;
    this.#context = context;
    this.#secrets = secrets;
    this.#outcomes = outcomes;
    this.#startedAt = context.clock.monotonic();
    this.#unlisten = context.bus.listen(({ hosts }) => {
      for (const hostId of hosts) this.#sessions.get(hostId)?.sendDesiredSoon();
    });
    this.#sweep = setInterval(() => this.#closeSilent(), HEARTBEAT_MS);
    this.#sweep.unref();
  }

  /** Takes over a socket that was authenticated as this host's. An earlier session ends. */
  attach(socket: WebSocket, host: { readonly id: string; readonly name: string }): void {
    this.#sessions.get(host.id)?.close(CLOSE.superseded, 'another agent of this host connected');
    const parts = { secrets: this.#secrets, outcomes: this.#outcomes, peerKey: this.#peerKey };
    const session = new AgentSession(this.#context, parts, socket, host);
    this.#sessions.set(host.id, session);
    socket.once('close', () => {
      if (this.#sessions.get(host.id) !== session) return;
      this.#sessions.delete(host.id);
      this.#endedAt.set(host.id, this.#context.clock.monotonic());
      this.#context.bus.publish({ hosts: new Set(), subjects: new Set([host.name]) });
    });
  }

  link(hostId: string): HostLink {
    if (this.#sessions.get(hostId)?.welcomed === true) return { online: true, silentForMs: 0 };
    const since = this.#endedAt.get(hostId) ?? this.#startedAt;
    return { online: false, silentForMs: this.#context.clock.monotonic() - since };
  }

  /** Ends a host's session because its credential ended. */
  expel(hostId: string): void {
    this.#sessions.get(hostId)?.close(CLOSE.unauthorized, 'this host was removed');
  }

  close(): void {
    clearInterval(this.#sweep);
    this.#unlisten();
    for (const session of this.#sessions.values()) session.close(1012, 'the controller stops');
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
  readonly outcomes: WorkerOutcomes;
  readonly peerKey: Buffer;
}

class AgentSession {
  readonly #context: Context;
  readonly #parts: SessionParts;
  readonly #socket: WebSocket;
  readonly #host: { readonly id: string; readonly name: string };
  /** Messages are taken in one after the other. */
  #inbox: Promise<void> = Promise.resolve();
  #sending = false;
  #dirty = false;
  welcomed = false;
  heardAt: number;

  constructor(
    context: Context,
    parts: SessionParts,
    socket: WebSocket,
    host: { readonly id: string; readonly name: string },
  ) {
    this.#context = context;
    this.#parts = parts;
    this.#socket = socket;
    this.#host = host;
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

  close(code: number, reason: string): void {
    this.#socket.close(code, reason);
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
      await this.#send({ type: 'desired', workers, images });
    }
  }

  async #receive(data: Buffer): Promise<void> {
    const message = parseMessage(agentMessageSchema, data);
    if (typeof message === 'string') return this.close(CLOSE.badMessage, message);
    if (message.type === 'hello') return this.#hello(message);
    if (!this.welcomed) return this.close(CLOSE.badMessage, 'expected hello first');
    if (message.facts !== undefined) await this.#saveFacts(message.facts, undefined);
    await observe(this.#context, this.#parts.outcomes, this.#host.id, message);
    await saveHostSeen(this.#context.db, {
      id: this.#host.id,
      now: this.#context.clock.now(),
      diskFreeBytes: message.diskFreeBytes,
    });
  }

  async #hello(message: Extract<AgentMessage, { type: 'hello' }>): Promise<void> {
    if (message.protocol !== SESSION_PROTOCOL) {
      return this.close(
        CLOSE.protocol,
        `this controller speaks session protocol ${SESSION_PROTOCOL}, the agent ${message.protocol}`,
      );
    }
    await this.#saveFacts(message.facts, message.agentVersion);
    await observe(this.#context, this.#parts.outcomes, this.#host.id, {
      complete: true,
      workers: message.workers,
    });
    await this.#send({
      type: 'welcome',
      fleet: this.#context.fleet,
      hostId: this.#host.id,
      heartbeatMs: HEARTBEAT_MS,
      peerKey: this.#parts.peerKey.toString('base64'),
    });
    this.welcomed = true;
    this.#context.bus.publish({ hosts: new Set(), subjects: new Set([this.#host.name]) });
    this.sendDesiredSoon();
  }

  async #saveFacts(facts: HostFacts, agentVersion: string | undefined): Promise<void> {
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
