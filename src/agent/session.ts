import WebSocket from 'ws';
import type { HostFacts } from '../domain/host.ts';
import type { ObservedTask } from '../domain/host-task.ts';
import type { Leak } from '../domain/leak.ts';
import type { ObservedWorker } from '../domain/worker.ts';
import type { Controllers } from './controllers.ts';
import { Backoff } from '../platform/backoff.ts';
import type { Logger } from '../platform/logger.ts';
import { VERSION } from '../platform/version.ts';
import {
  CLOSE,
  SESSION_PATH,
  SESSION_PROTOCOL,
  controllerMessageSchema,
  parseMessage,
  type AgentMessage,
  type ControllerMessage,
} from '../protocol/session.ts';

/** Thrown when trying again cannot help. */
export class SessionRefusedError extends Error {
  readonly code = 'session_refused';
}

/** What the session speaks for. */
export interface SessionHost {
  readonly name: string;
  facts(): HostFacts;
  observed(): ObservedWorker[];
  diskFreeBytes(): Promise<number | undefined>;
  welcomed(fleet: string, peerKey: Buffer): void;
  /** How the task goes that the host was asked for. */
  task(): ObservedTask | undefined;
  leaks(): readonly Leak[];
  desired(wanted: Extract<ControllerMessage, { type: 'desired' }>): void;
}

interface SessionEnd {
  readonly code: number;
  readonly reason: string;
  /** Whether the controller took the agent in before the end. */
  readonly welcomed: boolean;
}

/** A controller that does not answer for twice as long is left for another. */
const PING_MS = 2_000;
const LONGEST_WAIT_MS = 3_000;

/** Keeps a session with a controller, over and over, until it is closed or refused for good. */
export class Session {
  readonly #controllers: Controllers;
  readonly #credential: string;
  readonly #host: SessionHost;
  readonly #log: Logger;
  readonly #stop = new AbortController();
  readonly #dirty = new Map<string, ObservedWorker>();
  #factsDirty = false;
  #socket: WebSocket | undefined;
  #flushing = false;
  #open = false;
  /** Settles when the session is over for good; throws `SessionRefusedError`. */
  readonly done: Promise<void>;

  constructor(controllers: Controllers, credential: string, host: SessionHost, log: Logger) {
    this.#controllers = controllers;
    this.#credential = credential;
    this.#host = host;
    this.#log = log;
    this.done = this.#run();
  }

  /** Whether a controller listens. */
  get isOpen(): boolean {
    return this.#open;
  }

  /** A worker changed; several changes go out in one message. */
  changed(worker: ObservedWorker): void {
    this.#dirty.set(worker.id, worker);
    this.#flushSoon();
  }

  /** Something of the host changed that each whole report tells. */
  changedAll(): void {
    if (this.#open) void this.#beat();
  }

  factsChanged(): void {
    this.#factsDirty = true;
    this.#flushSoon();
  }

  close(): void {
    this.#stop.abort();
    this.#socket?.close(1000, 'the agent stops');
  }

  async #run(): Promise<void> {
    const backoff = new Backoff(50, LONGEST_WAIT_MS);
    while (!this.#stop.signal.aborted) {
      const controller = this.#controllers.current;
      const { code, reason, welcomed } = await this.#connect(controller);
      this.#open = false;
      this.#controllers.failed(controller);
      if (welcomed && code !== CLOSE.badMessage) backoff.succeeded();
      if (this.#stop.signal.aborted) return;
      if (code === CLOSE.superseded || code === CLOSE.unauthorized || code === CLOSE.protocol) {
        throw new SessionRefusedError(
          `the controller ended the session of ${this.#host.name}: ${reason}`,
        );
      }
      this.#log.log('info', 'no session with the controller; trying again', {
        host: this.#host.name,
        reason,
      });
      await backoff.wait(this.#stop.signal).catch(() => undefined);
    }
  }

  /** One session, from its beginning to its end. */
  async #connect(controller: string): Promise<SessionEnd> {
    const { promise, resolve } = Promise.withResolvers<SessionEnd>();
    const url = new URL(SESSION_PATH, controller);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    const socket = new WebSocket(url, {
      headers: { authorization: `Bearer ${this.#credential}` },
      handshakeTimeout: 10_000,
      perMessageDeflate: false,
    });
    this.#socket = socket;
    let failure = '';
    let heartbeat: NodeJS.Timeout | undefined;
    let pings: NodeJS.Timeout | undefined;
    let welcomed = false;
    let heard = true;
    socket.on('unexpected-response', (_request, response) => {
      failure = `it answered ${response.statusCode}`;
      const code = response.statusCode === 401 ? CLOSE.unauthorized : 1006;
      resolve({
        code,
        reason:
          code === CLOSE.unauthorized ? 'the host’s credential is not valid any more' : failure,
        welcomed,
      });
      socket.terminate();
    });
    socket.on('error', (error) => {
      failure ||= error.message;
    });
    socket.on('close', (code, reason) => {
      clearInterval(heartbeat);
      clearInterval(pings);
      resolve({ code, reason: reason.toString() || failure || `closed with ${code}`, welcomed });
    });
    socket.on('open', () => {
      this.#send({
        type: 'hello',
        protocol: SESSION_PROTOCOL,
        agentVersion: VERSION,
        facts: this.#host.facts(),
      });
    });
    socket.on('message', (data: Buffer) => {
      heard = true;
      const message = parseMessage(controllerMessageSchema, data);
      if (typeof message === 'string') return socket.close(CLOSE.badMessage, message);
      if (message.type === 'desired') {
        return this.#host.desired(message);
      }
      welcomed = true;
      this.#open = true;
      this.#dirty.clear();
      this.#send(this.#whole());
      this.#host.welcomed(message.fleet, Buffer.from(message.peerKey, 'base64'));
      clearInterval(heartbeat);
      clearInterval(pings);
      heartbeat = setInterval(() => void this.#beat(), message.heartbeatMs);
      pings = setInterval(
        () => {
          if (!heard) {
            failure = 'the controller fell silent';
            return socket.terminate();
          }
          heard = false;
          socket.ping();
        },
        Math.min(PING_MS, message.heartbeatMs),
      );
      this.#flushSoon();
    });
    socket.on('pong', () => {
      heard = true;
    });
    return promise;
  }

  async #beat(): Promise<void> {
    const diskFreeBytes = await this.#host.diskFreeBytes().catch(() => undefined);
    if (!this.#open) return;
    this.#send({
      ...this.#whole(),
      clock: Date.now(),
      ...(diskFreeBytes === undefined ? {} : { diskFreeBytes }),
    });
  }

  #whole(): Extract<AgentMessage, { type: 'observed' }> {
    const task = this.#host.task();
    const workers = this.#host.observed();
    return {
      ...{ type: 'observed', complete: true, workers, leaks: [...this.#host.leaks()] },
      ...(task === undefined ? {} : { task }),
    };
  }

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      if (!this.#open || (this.#dirty.size === 0 && !this.#factsDirty)) return;
      const workers = [...this.#dirty.values()];
      this.#dirty.clear();
      const facts = this.#factsDirty ? { facts: this.#host.facts() } : {};
      this.#factsDirty = false;
      this.#send({ type: 'observed', complete: false, workers, ...facts });
    });
  }

  #send(message: AgentMessage): void {
    this.#socket?.send(JSON.stringify(message), (error) => {
      // What was lost with the connection is said again in the next hello.
      if (error) this.#log.log('debug', 'a message was not sent', { error: error.message });
    });
  }
}
