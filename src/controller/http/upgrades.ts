import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import { AGENT_CONSOLE_PATH, consoleQuerySchema } from '../../protocol/console.ts';
import { API_PREFIX } from '../../protocol/api/routes.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { SESSION_PATH } from '../../protocol/session.ts';
import { CHALLENGE, requireHost, requireRole } from './access.ts';
import { rawProblem } from './respond.ts';
import type { Serving } from './serving.ts';
import { parseWith } from './validate.ts';
import { hostOf } from './web/session-routes.ts';

/** An agent's whole state, some ten thousand workers, fits. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
/** The close code that says: the server restarts, connect again. */
const RESTARTING = 1012;

const PAGE_CONSOLE = new RegExp(`^${API_PREFIX}/workers/([a-z0-9-]{1,64})/console$`);

/** Accepts WebSockets: agents' sessions, and both ends of consoles. */
export class Upgrades {
  readonly #serving: Serving;
  readonly #sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
  });

  constructor(serving: Serving, server: Server) {
    this.#serving = serving;
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      const broken = () => socket.destroy();
      socket.on('error', broken);
      this.#accept(request, socket, head)
        .catch((error: unknown) => this.#refuse(request, socket, error))
        .finally(() => socket.off('error', broken));
    });
  }

  /** Ends every session; those that do not answer are cut after `ms`. */
  async close(ms: number): Promise<void> {
    const ends = [...this.#sockets.clients].map((socket) => {
      const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()));
      socket.close(RESTARTING, 'the controller stops');
      return ended;
    });
    const cut = setTimeout(() => {
      for (const socket of this.#sockets.clients) socket.terminate();
    }, ms);
    await Promise.all(ends);
    clearTimeout(cut);
  }

  async #accept(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const take = await this.#takerOf(request);
    if (this.#serving.lifecycle.stopping) {
      throw new ProblemError('not_ready', 'the controller stops; try again');
    }
    if (socket.destroyed) return;
    this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
      // Without a listener a broken connection would end the process.
      webSocket.on('error', () => undefined);
      take(webSocket);
    });
  }

  /** Who takes over the socket of a request. Throws ProblemError. */
  async #takerOf(request: IncomingMessage): Promise<(socket: WebSocket) => void> {
    const { options } = this.#serving;
    const [path = '', query = ''] = (request.url ?? '').split('?');
    if (path === SESSION_PATH) {
      const host = await requireHost(options, request);
      return (socket) => options.agents.onSession(socket, host, request);
    }
    if (path.startsWith(AGENT_CONSOLE_PATH)) {
      const host = await requireHost(options, request);
      const id = path.slice(AGENT_CONSOLE_PATH.length);
      if (!options.consoles.awaits(id, host.id)) {
        throw new ProblemError('not_found', 'nobody waits for this console here');
      }
      return (socket) => options.consoles.attach(id, socket);
    }
    const workerId = PAGE_CONSOLE.exec(path)?.[1];
    if (workerId === undefined) {
      throw new ProblemError('not_found', `no WebSocket is served here; see ${SESSION_PATH}`);
    }
    return this.#consoleOf(request, workerId, query);
  }

  async #consoleOf(
    request: IncomingMessage,
    workerId: string,
    query: string,
  ): Promise<(socket: WebSocket) => void> {
    const { options } = this.#serving;
    mustBeOwnOrigin(request);
    const who = await requireRole(options, request, 'operator');
    const asked = parseWith(
      consoleQuerySchema,
      Object.fromEntries(new URLSearchParams(query)),
      'query',
    );
    await options.consoles.check(workerId, asked);
    await options.web.audit({
      ...{ who: who.name, role: who.role, action: asked.kind, target: workerId },
      ...{ detail: undefined, status: 101, address: request.socket.remoteAddress ?? '' },
    });
    return (socket) => {
      options.consoles
        .open(socket, { ...asked, workerId, who: who.name })
        .catch((error: unknown) => {
          const problem = this.#serving.problemOf(error, request.url?.split('?')[0]);
          socket.close(4500, problem.message.slice(0, 100));
        });
    };
  }

  #refuse(request: IncomingMessage, socket: Duplex, error: unknown): void {
    const problem = this.#serving.problemOf(error, request.url?.split('?')[0]).toProblem();
    const challenge = problem.code === 'unauthenticated' ? CHALLENGE : {};
    socket.end(rawProblem(problem, challenge));
  }
}

/** Browsers let any page open a WebSocket to anywhere, with cookies: only our own page may. */
function mustBeOwnOrigin({ headers: { origin, host } }: IncomingMessage): void {
  if (origin === undefined || hostOf(origin) === host) return;
  throw new ProblemError('forbidden', `a console is opened by the page itself, not by ${origin}`);
}
