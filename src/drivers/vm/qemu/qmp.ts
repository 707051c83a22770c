import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

const ANSWER_MS = 10_000;

/** QEMU's answer to a command that it refused. */
export class QmpError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'QmpError';
  }
}

interface Message {
  readonly QMP?: unknown;
  readonly event?: string;
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
}

/**
 * One talk with a running QEMU over its control socket (the QEMU Machine Protocol: JSON, a message a
 * line). `work` sends commands and gets their answers. Returns undefined when no QEMU is there.
 */
export async function withQmp<T>(
  path: string,
  work: (ask: (command: string, args?: object) => Promise<unknown>) => Promise<T>,
): Promise<T | undefined> {
  const socket = await connected(path);
  if (socket === undefined) return undefined;
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  socket.setTimeout(ANSWER_MS, () => socket.destroy(new QmpError('QEMU does not answer')));
  const answer = async (): Promise<Message> => {
    for (;;) {
      const { value, done } = await lines.next();
      if (done === true) throw new QmpError('QEMU hung up');
      const message = JSON.parse(value) as Message;
      if (message.event === undefined) return message;
    }
  };
  const ask = async (command: string, args: object = {}): Promise<unknown> => {
    socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    const message = await answer();
    if (message.error !== undefined) throw new QmpError(`${command}: ${message.error.desc}`);
    return message.return;
  };
  try {
    await answer();
    await ask('qmp_capabilities');
    return await work(ask);
  } finally {
    socket.destroy();
  }
}

async function connected(path: string): Promise<Socket | undefined> {
  const socket = connect({ path });
  try {
    await once(socket, 'connect');
    // What comes later shows as an end of its lines.
    socket.on('error', () => undefined);
    return socket;
  } catch (error) {
    socket.destroy();
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return undefined;
    throw error;
  }
}
