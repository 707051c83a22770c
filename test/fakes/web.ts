import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface Answer {
  readonly status: number;
  readonly json?: unknown;
  readonly text?: string;
  readonly bytes?: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What goes wrong with the next answers to requests that look like this. */
export interface Trouble {
  /** Of `METHOD /path`. */
  readonly at: RegExp;
  /** How often; default: once. */
  times?: number;
  /** `cut`: the connection ends within the answer; `lost`: it is done, and the answer is lost. */
  readonly kind: Answer | 'cut' | 'lost' | { readonly delayMs: number };
}

/** A server on loopback that plays a vendor's: with state, and with trouble on demand. */
export class FakeWeb {
  readonly trouble: Trouble[] = [];
  /** Every request so far, as `METHOD /path`. */
  readonly asked: string[] = [];
  readonly #server: Server;
  readonly #handle: (asked: Asked, gone: AbortSignal) => Promise<Answer>;
  /** What went wrong with requests themselves: nothing should. */
  readonly wrong: string[] = [];

  private constructor(handle: (asked: Asked, gone: AbortSignal) => Promise<Answer>) {
    this.#handle = handle;
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  static async start(
    handle: (asked: Asked, gone: AbortSignal) => Promise<Answer>,
    port = 0,
  ): Promise<FakeWeb> {
    const web = new FakeWeb(handle);
    web.#server.listen(port, '127.0.0.1');
    await once(web.#server, 'listening');
    return web;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    let text = '';
    for await (const piece of request) text += String(piece);
    const url = new URL(request.url ?? '/', 'http://fake/');
    const { method = 'GET', headers } = request;
    const line = `${method} ${url.pathname}`;
    this.asked.push(line);
    const trouble = this.#troubleAt(line);
    if (typeof trouble === 'object' && 'delayMs' in trouble) {
      await new Promise((resolve) => setTimeout(resolve, trouble.delayMs));
    } else if (typeof trouble === 'object') {
      return send(response, trouble);
    }
    let answer: Answer;
    try {
      const asked = { method, path: url.pathname, query: url.searchParams, headers, text };
      answer = await this.#handle(asked, gone.signal);
    } catch (error) {
      this.wrong.push(`${line}: ${(error as Error).stack}`);
      return send(response, { status: 500, json: { message: (error as Error).message } });
    }
    if (trouble === 'lost') return void response.socket?.destroy();
    if (trouble !== 'cut') return send(response, answer);
    const whole = answer.text ?? JSON.stringify(answer.json ?? {});
    response.writeHead(answer.status, { 'content-length': whole.length + 10 });
    response.write(whole.slice(0, whole.length / 2), () => response.socket?.destroy());
  }

  #troubleAt(line: string): Trouble['kind'] | undefined {
    const index = this.trouble.findIndex(({ at }) => at.test(line));
    const found = this.trouble[index];
    if (found === undefined) return undefined;
    found.times = (found.times ?? 1) - 1;
    if (found.times <= 0) this.trouble.splice(index, 1);
    return found.kind;
  }
}

function send(response: ServerResponse, answer: Answer): void {
  const { status, json, text, bytes, headers = {} } = answer;
  const type = json === undefined ? 'text/plain' : 'application/json; charset=utf-8';
  const body = bytes ?? (json === undefined ? (text ?? '') : JSON.stringify(json));
  response.writeHead(status, { 'content-type': type, ...headers });
  response.end(status === 204 || status === 304 ? undefined : body);
}
