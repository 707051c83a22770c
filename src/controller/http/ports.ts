import type { ImageTurns } from '../../protocol/image-turns.ts';
import type { IncomingMessage } from 'node:http';
import type { Registry } from 'prom-client';
import type { WebSocket } from 'ws';
import type { z } from 'zod';
import type { JobState } from '../../domain/job.ts';
import type { ConsoleQuery } from '../../protocol/console.ts';
import type { Logger } from '../../platform/logger.ts';
import type { Artifact, EventView, Role } from '../../protocol/api/resources.ts';
import type { joinRequestSchema, joinResponseSchema } from '../../protocol/join.ts';
import type { Principal } from '../auth.ts';
import type { ArtifactFiles, LogFiles, SourceFiles } from '../files/file-stores.ts';
import type { Handlers, HostPrincipal, TokenPrincipal } from './call.ts';
import type { CookieJar } from './web/cookies.ts';

/** What the routes that stream need to know of jobs. */
export interface JobsPort {
  find(jobId: string): Promise<JobStatus | undefined>;
  /** An artifact of the job's last hand-over. */
  findArtifact(jobId: string, path: string): Promise<(Artifact & { epoch: number }) | undefined>;
  /** Calls `listener`, which is quick and does not throw, when the job may have changed. */
  onChange(jobId: string, listener: () => void): () => void;
}

export interface JobStatus {
  readonly state: JobState;
  /** Hand-overs so far; 0 before the first. */
  readonly epoch: number;
  /** Bytes of the log of the last hand-over, once the job is finished. */
  readonly log_bytes?: number;
}

export interface EventsPort {
  latestSeq(): Promise<number>;
  /** Events with a greater `seq` in its order, at most `limit`. */
  read(after: number, limit: number): Promise<EventView[]>;
  /** Calls `listener`, which is quick and does not throw, when there may be more. */
  onChange(listener: () => void): () => void;
}

/** What agents' requests need. */
export interface AgentsPort {
  /** Trades a use of a join token for a credential. Throws ProblemError `unauthenticated`. */
  join(
    joinToken: string,
    body: z.output<typeof joinRequestSchema>,
  ): Promise<z.output<typeof joinResponseSchema>>;
  /** Takes over the socket of a session. Called before the first message. */
  onSession(socket: WebSocket, host: HostPrincipal, request: IncomingMessage): void;
  /** True while this host has this job under this epoch. */
  authorizeJob(hostId: string, jobId: string, epoch: number): Promise<boolean>;
  /** Records an artifact whose bytes are stored. The same path again replaces the earlier one. */
  artifactStored(artifact: Artifact & { jobId: string; epoch: number }): Promise<void>;
  /** Whose turn it is to bring these images, and who gives chunks of them. */
  imageTurns(hostId: string, images: readonly string[]): Promise<ImageTurns>;
  /** Digest of the job's source, if it has one. */
  sourceOf(jobId: string): Promise<string | undefined>;
}

/** Somebody did something, or tried to. */
export interface Deed {
  readonly who: string;
  readonly role: Role;
  /** Id of the operation, `signIn` or `shell`. */
  readonly action: string;
  readonly target: string;
  readonly detail: string | undefined;
  /** HTTP status of the answer. */
  readonly status: number;
  readonly address: string;
}

/** What the page and those who are signed in to it need. */
export interface WebPort {
  /** The page as it was built; undefined: it was not. */
  readonly dir: string | undefined;
  readonly fleet: string;
  readonly cookies: CookieJar;
  readonly sessions: {
    openWithToken(token: string): Promise<{ readonly secret: string } | undefined>;
    openFor(person: { readonly name: string; readonly role: Role }): Promise<{ secret: string }>;
    find(secret: string): Promise<TokenPrincipal | undefined>;
    close(secret: string): Promise<void>;
  };
  /** How long a session lasts at most. */
  readonly sessionMs: number;
  csrfTokenOf(secret: string): string;
  isCsrfToken(secret: string, given: string): boolean;
  readonly openId:
    | {
        readonly issuer: string;
        begin(returnTo: string): Promise<{ location: string; state: string }>;
        end(
          query: URLSearchParams,
          state: string | undefined,
        ): Promise<{ name: string; role: Role; returnTo: string }>;
      }
    | undefined;
  /** Records what somebody did. */
  audit(deed: Deed): Promise<void>;
}

/** Ways into workers. */
export interface ConsolesPort {
  /** Throws ProblemError when there is no such way in. */
  check(workerId: string, query: Pick<ConsoleQuery, 'kind'>): Promise<unknown>;
  /** Takes over the socket of a page. */
  open(page: WebSocket, request: ConsoleQuery & { workerId: string; who: string }): Promise<void>;
  /** Whether this host's agent is waited for. */
  awaits(id: string, hostId: string): boolean;
  /** Takes over the socket of an agent. */
  attach(id: string, agent: WebSocket): void;
  /** What a shell showed, as an asciicast. Throws ProblemError `not_found`. */
  recording(id: string): Promise<AsyncIterable<string>>;
}

/** The fleet as the page shows it. */
export interface LivePort {
  /** Calls `listener` with the text of each event, first of all there is; returns the way to stop. */
  subscribe(listener: (event: string) => void): Promise<() => void>;
}

export interface ServerLimits {
  /** Largest JSON body, bytes. */
  readonly jsonBytes: number;
  /** How long a request's head may take to arrive, ms. */
  readonly headersMs: number;
  /** How long a JSON body may take to arrive, ms. */
  readonly jsonBodyMs: number;
  /** A connection on which a stream makes no progress at all for this long is ended, ms. */
  readonly stallMs: number;
  /** Server-sent events: a comment after this long without an event, ms. */
  readonly heartbeatMs: number;
  /** How long `close` waits for requests to end by themselves, ms. */
  readonly graceMs: number;
}

export const DEFAULT_LIMITS: ServerLimits = {
  jsonBytes: 16 * 1024 * 1024,
  headersMs: 15_000,
  jsonBodyMs: 60_000,
  stallMs: 60_000,
  heartbeatMs: 15_000,
  graceMs: 5_000,
};

export interface ServerOptions {
  /** Version of the program, for the API description. */
  readonly version: string;
  readonly log: Logger;
  /** `/metrics` shows it; the server adds its own metrics to it. */
  readonly registry: Registry;
  readonly handlers: Handlers;
  readonly logs: LogFiles;
  readonly sources: SourceFiles;
  readonly artifacts: ArtifactFiles;
  readonly jobs: JobsPort;
  readonly events: EventsPort;
  readonly agents: AgentsPort;
  readonly web: WebPort;
  readonly live: LivePort;
  readonly consoles: ConsolesPort;
  /** Takes in what a CI system delivers. Throws ProblemError. */
  receiveWebhook(
    integration: string,
    delivery: { headers: Readonly<Record<string, string | undefined>>; body: Buffer },
  ): Promise<'accepted' | 'known'>;
  /** The principal of a valid token, else undefined. */
  authenticate(bearer: string): Promise<Principal | undefined>;
  /** False while starting or stopping. */
  ready(): boolean;
  readonly limits?: Partial<ServerLimits>;
  /** For tests: an answer that is not what its schema says fails the call. Costs time. */
  readonly checkAnswers?: boolean;
}
