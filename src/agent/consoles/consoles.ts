import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import WebSocket from 'ws';
import type { DesiredConsole } from '../../domain/console.ts';
import type { Logger } from '../../platform/logger.ts';
import { AGENT_CONSOLE_PATH, parseConsoleMessage } from '../../protocol/console.ts';
import { startTerminal, type Terminal } from './terminal.ts';
import type { WayIn } from './way-in.ts';

/** A controller that takes in less at a time holds the terminal up. */
const MOST_WAITING_BYTES = 2 ** 20;
const RESUME_MS = 50;
const TRIES = 10;
const AGAIN_MS = 500;
const ENDED = 1000;
const FAILED = 4500;

interface Parts {
  /** Addresses of controllers: one of them waits for the console. */
  readonly controllers: readonly string[];
  readonly credential: string;
  readonly log: Logger;
  /** The way into the worker of that name. Throws when there is none. */
  wayIn(worker: string, kind: DesiredConsole['kind']): Promise<WayIn>;
}

/** The ways into workers that people have open. */
export class AgentConsoles {
  readonly #parts: Parts;
  readonly #open = new Map<string, AbortController>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Those that are wanted, all of them: opens what is new, ends what is not wanted any more. */
  want(consoles: readonly DesiredConsole[]): void {
    const wanted = new Set(consoles.map(({ id }) => id));
    for (const [id, stop] of this.#open) {
      if (wanted.has(id)) continue;
      stop.abort();
      this.#open.delete(id);
    }
    for (const each of consoles) {
      if (this.#open.has(each.id)) continue;
      const stop = new AbortController();
      // It stays known until it is no longer wanted, so that one that ended is not begun anew.
      this.#open.set(each.id, stop);
      this.#run(each, stop.signal).catch((error: unknown) => {
        this.#parts.log.log('warn', 'a console failed', { id: each.id, error });
      });
    }
  }

  close(): void {
    this.want([]);
  }

  async #run(wanted: DesiredConsole, signal: AbortSignal): Promise<void> {
    const socket = await this.#connect(wanted.id, signal);
    if (socket === undefined) return;
    signal.addEventListener('abort', () => socket.close(ENDED, 'the agent ended it'));
    try {
      const way = await this.#parts.wayIn(wanted.worker, wanted.kind);
      if (way.kind === 'socket') joinScreen(socket, way.path);
      else joinTerminal(socket, await startTerminal(way.launch, way.dir, wanted));
      socket.resume();
    } catch (error) {
      socket.resume();
      socket.close(FAILED, (error as Error).message.slice(0, 100));
    }
  }

  /** To the controller that waits for it; undefined: none does. */
  async #connect(id: string, signal: AbortSignal): Promise<WebSocket | undefined> {
    // One address may lead to another controller each time.
    for (let tried = 0; tried < TRIES && !signal.aborted; tried += 1) {
      if (tried > 0) await sleep(AGAIN_MS);
      for (const controller of this.#parts.controllers) {
        const socket = await this.#dial(controller, id);
        if (socket === undefined) continue;
        if (!signal.aborted) return socket;
        socket.close(ENDED, 'it is not wanted any more');
        return undefined;
      }
    }
    return undefined;
  }

  #dial(controller: string, id: string): Promise<WebSocket | undefined> {
    const url = new URL(AGENT_CONSOLE_PATH + id, controller);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    const { promise, resolve } = Promise.withResolvers<WebSocket | undefined>();
    const socket = new WebSocket(url, {
      headers: { authorization: `Bearer ${this.#parts.credential}` },
      ...{ handshakeTimeout: 10_000, perMessageDeflate: false },
    });
    socket.once('open', () => {
      // What is typed before the terminal is there waits for it.
      socket.pause();
      resolve(socket);
    });
    socket.on('error', () => resolve(undefined));
    return promise;
  }
}

function joinTerminal(socket: WebSocket, terminal: Terminal): void {
  let waiting: NodeJS.Timeout | undefined;
  terminal.onData((data) => {
    socket.send(data);
    if (socket.bufferedAmount < MOST_WAITING_BYTES || waiting !== undefined) return;
    terminal.pause();
    waiting = setInterval(() => {
      if (socket.bufferedAmount >= MOST_WAITING_BYTES && socket.readyState === socket.OPEN) return;
      clearInterval(waiting);
      waiting = undefined;
      terminal.resume();
    }, RESUME_MS);
  });
  terminal.onEnd((reason) => socket.close(ENDED, reason));
  socket.on('message', (data: Buffer, isBinary: boolean) => {
    if (isBinary) return terminal.write(data);
    const message = parseConsoleMessage(data.toString('utf8'));
    if (message?.type === 'size') terminal.resize(message.cols, message.lines);
  });
  socket.once('close', () => terminal.end());
  if (socket.readyState !== socket.OPEN) terminal.end();
}

function joinScreen(socket: WebSocket, path: string): void {
  const screen = connect(path);
  screen.on('data', (data) => {
    screen.pause();
    socket.send(data, () => screen.resume());
  });
  screen.once('error', (error) => socket.close(FAILED, error.message.slice(0, 100)));
  screen.once('close', () => socket.close(ENDED, 'the screen went away'));
  socket.on('message', (data: Buffer, isBinary: boolean) => {
    if (isBinary) screen.write(data);
  });
  socket.once('close', () => screen.destroy());
}
