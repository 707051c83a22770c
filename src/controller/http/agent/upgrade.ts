import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { ProblemError } from '../../../protocol/problem.ts';
import { SESSION_PATH } from '../../../protocol/session.ts';
import { CHALLENGE, requireHost } from '../access.ts';
import { rawProblem } from '../respond.ts';
import type { Serving } from '../serving.ts';

/** An agent's whole state, some ten thousand workers, fits. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
/** The close code that says: the server restarts, connect again. */
const RESTARTING = 1012;

/** Accepts agents' WebSockets. */
export class AgentUpgrades {
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
    const { options, lifecycle } = this.#serving;
    const path = (request.url ?? '').split('?')[0];
    if (path !== SESSION_PATH) {
      throw new ProblemError('not_found', `no WebSocket is served here; see ${SESSION_PATH}`);
    }
    const host = await requireHost(options, request);
    if (lifecycle.stopping) throw new ProblemError('not_ready', 'the controller stops; try again');
    if (socket.destroyed) return;
    this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
      // Without a listener a broken connection would end the process.
      webSocket.on('error', () => undefined);
      options.agents.onSession(webSocket, host, request);
    });
  }

  #refuse(request: IncomingMessage, socket: Duplex, error: unknown): void {
    const problem = this.#serving.problemOf(error, request.url?.split('?')[0]).toProblem();
    const challenge = problem.code === 'unauthenticated' ? CHALLENGE : {};
    socket.end(rawProblem(problem, challenge));
  }
}
