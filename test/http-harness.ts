import { EventEmitter } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Registry } from 'prom-client';
import type { WebSocket } from 'ws';
import type { Principal } from '../src/controller/auth.ts';
import { ArtifactStore } from '../src/controller/files/artifact-store.ts';
import { SourceStore } from '../src/controller/files/source-store.ts';
import {
  createServer,
  type ControllerServer,
  type Handlers,
  type ServerLimits,
} from '../src/controller/http/server.ts';
import { LogStore } from '../src/controller/logs/log-store.ts';
import { csrfTokenOf, isCsrfToken } from '../src/controller/web/web-sessions.ts';
import { cookieJar } from '../src/controller/http/web/cookies.ts';
import type { Deed, WebPort } from '../src/controller/http/ports.ts';
import type { TokenPrincipal } from '../src/controller/http/call.ts';
import type { LogLevel } from '../src/platform/logger.ts';
import type { Artifact, EventView } from '../src/protocol/api/resources.ts';
import { ROUTES, type RouteId } from '../src/protocol/api/routes.ts';
import { ProblemError } from '../src/protocol/problem.ts';

type JobStatus = { state: 'queued' | 'assigned' | 'running' | 'finished'; epoch: number };

export const HOST_TOKEN = 'token-host';
export const JOIN_TOKEN = 'token-join';

const PRINCIPALS: Readonly<Record<string, Principal>> = {
  'token-viewer': { kind: 'token', id: 't-1', name: 'vi', role: 'viewer' },
  'token-submitter': { kind: 'token', id: 't-2', name: 'sue', role: 'submitter' },
  'token-operator': { kind: 'token', id: 't-3', name: 'op', role: 'operator' },
  'token-admin': { kind: 'token', id: 't-4', name: 'ada', role: 'admin' },
  [HOST_TOKEN]: { kind: 'host', id: 'h-1', name: 'mini' },
};

/**
 * A server on a free port whose jobs, events and handlers are in memory. Emits `idle` when no stream
 * listens any more.
 */
export class HttpHarness extends EventEmitter<{ idle: [] }> {
  readonly server: ControllerServer;
  readonly logs: LogStore;
  readonly sources: SourceStore;
  readonly artifacts: ArtifactStore;
  readonly jobs = new Map<string, JobStatus>();
  readonly stored = new Map<string, Artifact & { jobId: string; epoch: number }>();
  readonly events: EventView[] = [];
  readonly sessions: WebSocket[] = [];
  /** What the program's log would hold. */
  readonly logged: { level: LogLevel; message: string; fields: Record<string, unknown> }[] = [];
  source: string | undefined;
  isReady = true;
  readonly deeds: Deed[] = [];
  readonly #signedIn = new Map<string, TokenPrincipal>();
  readonly web: WebPort = {
    ...{ dir: undefined, fleet: 'f', sessionMs: 60_000, openId: undefined },
    ...{ cookies: cookieJar(false), csrfTokenOf, isCsrfToken },
    sessions: {
      openWithToken: async (token) => {
        const principal = PRINCIPALS[token];
        if (principal?.kind !== 'token') return undefined;
        const secret = `secret-of-${principal.name}`;
        this.#signedIn.set(secret, principal);
        return { secret };
      },
      openFor: async () => ({ secret: '' }),
      find: async (secret) => this.#signedIn.get(secret),
      close: async (secret) => void this.#signedIn.delete(secret),
    },
    audit: async (deed) => void this.deeds.push(deed),
  };
  onSession: ((socket: WebSocket) => void) | undefined;
  readonly #jobListeners = new Map<string, Set<() => void>>();
  readonly #eventListeners = new Set<() => void>();

  constructor(
    dir: string,
    handlers: Partial<Handlers>,
    limits: Partial<ServerLimits>,
    pageDir: string | undefined,
  ) {
    super();
    this.logs = new LogStore(join(dir, 'logs'));
    this.sources = new SourceStore(join(dir, 'sources'), 8 * 1024 * 1024);
    this.artifacts = new ArtifactStore(join(dir, 'artifacts'), 8 * 1024 * 1024);
    this.server = createServer({
      version: '0.0.0-test',
      log: { log: (level, message, fields = {}) => this.logged.push({ level, message, fields }) },
      registry: new Registry(),
      handlers: { ...unanswered(), ...handlers },
      logs: this.logs,
      sources: this.sources,
      artifacts: this.artifacts,
      jobs: {
        find: async (id) => this.jobs.get(id),
        findArtifact: async (id, path) => {
          const found = this.stored.get(`${id} ${path}`);
          return found?.epoch === this.jobs.get(id)?.epoch ? found : undefined;
        },
        onChange: (id, listener) => this.#listen(this.#listenersOf(id), listener),
      },
      events: {
        latestSeq: async () => this.events.at(-1)?.seq ?? 0,
        read: async (after, limit) =>
          this.events.filter((event) => event.seq > after).slice(0, limit),
        onChange: (listener) => this.#listen(this.#eventListeners, listener),
      },
      agents: {
        join: async (joinToken, { name }) => {
          if (joinToken !== JOIN_TOKEN) {
            throw new ProblemError('unauthenticated', 'the join token is unknown');
          }
          return { hostId: `h-${name}`, fleet: 'f', credential: 'c' };
        },
        onSession: (socket) => {
          this.sessions.push(socket);
          this.onSession?.(socket);
        },
        authorizeJob: async (hostId, jobId, epoch) =>
          hostId === 'h-1' && this.jobs.get(jobId)?.epoch === epoch,
        artifactStored: async (artifact) => {
          this.stored.set(`${artifact.jobId} ${artifact.path}`, artifact);
        },
        imageTurns: async () => ({ turns: [], peers: [] }),
        sourceOf: async () => this.source,
      },
      web: { ...this.web, dir: pageDir },
      live: { subscribe: async () => () => undefined },
      consoles: {
        check: () => Promise.reject(new ProblemError('not_found', 'there are no workers')),
        open: async () => undefined,
        awaits: () => false,
        attach: () => undefined,
        recording: () => Promise.reject(new ProblemError('not_found', 'there is no recording')),
      },
      authenticate: async (bearer) => PRINCIPALS[bearer],
      ready: () => this.isReady,
      limits,
      receiveWebhook: async () => 'accepted',
      checkAnswers: true,
    });
  }

  /** Starts one that ends with the test. */
  static async start(
    test: { after(done: () => Promise<void>): void },
    handlers: Partial<Handlers> = {},
    limits: Partial<ServerLimits> = {},
    pageDir?: string,
  ): Promise<HttpHarness> {
    const dir = await mkdtemp(join(tmpdir(), 'pomona-http-'));
    const harness = new HttpHarness(dir, handlers, { graceMs: 1_000, ...limits }, pageDir);
    await harness.server.listen('127.0.0.1', 0);
    test.after(async () => {
      await harness.server.close();
      await rm(dir, { recursive: true });
    });
    return harness;
  }

  get port(): number {
    return Number(new URL(this.server.url).port);
  }

  /** Sends a request as the holder of a token; `undefined` for none. */
  fetch(
    path: string,
    token: string | undefined = 'token-admin',
    init: RequestInit = {},
  ): Promise<Response> {
    const headers = new Headers(init.headers);
    if (token !== undefined && token !== '') headers.set('authorization', `Bearer ${token}`);
    return fetch(this.server.url + path, { ...init, headers });
  }

  setJob(id: string, status: JobStatus): void {
    this.jobs.set(id, status);
    for (const listener of this.#listenersOf(id)) listener();
  }

  addEvents(count: number, reason = ''): void {
    for (let n = 0; n < count; n += 1) {
      const seq = (this.events.at(-1)?.seq ?? 0) + 1;
      this.events.push({ seq, at: 1, kind: 'job', id: `j-${seq}`, state: 'queued', reason });
    }
    for (const listener of this.#eventListeners) listener();
  }

  /** Open listeners: what a stream that ended must not leave behind. */
  streamListeners(): number {
    const jobs = [...this.#jobListeners.values()].reduce((sum, set) => sum + set.size, 0);
    return jobs + this.#eventListeners.size;
  }

  #listen(listeners: Set<() => void>, listener: () => void): () => void {
    listeners.add(listener);
    return () => {
      if (listeners.delete(listener) && this.streamListeners() === 0) this.emit('idle');
    };
  }

  #listenersOf(id: string): Set<() => void> {
    let listeners = this.#jobListeners.get(id);
    if (listeners === undefined) this.#jobListeners.set(id, (listeners = new Set()));
    return listeners;
  }
}

/** All that `items` gives, in order. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** Bytes in buffers of this process that are not garbage. */
export function heldBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  return process.memoryUsage().arrayBuffers;
}

function unanswered(): Handlers {
  const ids = Object.keys(ROUTES) as RouteId[];
  const refuse = async () => {
    throw new ProblemError('conflict', 'reached the handler');
  };
  return Object.fromEntries(ids.map((id) => [id, refuse])) as unknown as Handlers;
}
