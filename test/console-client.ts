import { once } from 'node:events';
import WebSocket from 'ws';

/** A way into a worker, as a page has it. */
export class ConsoleClient {
  readonly #socket: WebSocket;
  #said = '';
  #isOpen = false;
  #wake: (() => void) | undefined;
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;

  /** Returns once the host has come. Rejects when the controller refuses it. */
  static async open(
    url: string,
    token: string,
    { workerId, kind }: { readonly workerId: string; readonly kind: 'shell' | 'screen' },
  ): Promise<ConsoleClient> {
    const address = new URL(`/api/v1/workers/${workerId}/console?kind=${kind}`, url);
    address.protocol = 'ws:';
    const headers = { authorization: `Bearer ${token}` };
    const socket = new WebSocket(address, { headers });
    const client = new ConsoleClient(socket);
    await once(socket, 'open');
    await client.#until(() => client.#isOpen);
    return client;
  }

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      if (isBinary) this.#said += data.toString('latin1');
      else this.#isOpen = true;
      this.#wake?.();
    });
    this.closed = new Promise((resolve) => {
      socket.once('close', (code, reason) => {
        resolve({ code, reason: reason.toString('utf8') });
        this.#wake?.();
      });
    });
  }

  type(text: string): void {
    this.#socket.send(Buffer.from(text));
  }

  resize(cols: number, lines: number): void {
    this.#socket.send(JSON.stringify({ type: 'size', cols, lines }));
  }

  /** Returns once it has said what is looked for. Rejects when it ends before. */
  says(pattern: RegExp): Promise<void> {
    return this.#until(() => pattern.test(this.#said));
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.#socket.readyState === WebSocket.CLOSED) {
        const { reason } = await this.closed;
        throw new Error(`it ended (${reason}) and said ${JSON.stringify(this.#said)}`);
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async close(): Promise<void> {
    this.#socket.close();
    await this.closed;
  }
}
