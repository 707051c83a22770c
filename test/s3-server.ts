import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What to do to the next answers instead of handing them on. */
export type S3Trouble = 'unavailable' | 'cut' | 'alter' | 'slow';

export interface S3Server {
  /** `s3://bucket/prefix?endpoint=…`, for a bucket that exists. */
  location(prefix: string): string;
  /** Taken for the next answers to requests of this method whose path holds the text. */
  trouble: { readonly method: string; readonly path: string; readonly kind: S3Trouble }[];
  /** Bytes of bodies handed out. */
  bytesOut: number;
  close(): Promise<void>;
}

/** A real S3 server on loopback, behind a proxy that can make trouble. */
export async function startS3(): Promise<S3Server> {
  process.env['AWS_ACCESS_KEY_ID'] = 'S3RVER';
  process.env['AWS_SECRET_ACCESS_KEY'] = 'S3RVER';
  const directory = await mkdtemp(join(tmpdir(), 'pomona-s3-'));
  const { child, port: backend } = await startS3rver(directory);
  const proxy = createServer((incoming, outgoing) => {
    forward(server, backend, incoming, outgoing);
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const { port } = proxy.address() as AddressInfo;
  const server: S3Server = {
    location: (prefix) => `s3://images/${prefix}?endpoint=http://127.0.0.1:${port}`,
    trouble: [],
    bytesOut: 0,
    async close() {
      proxy.closeAllConnections();
      proxy.close();
      child.kill('SIGKILL');
      await once(child, 'exit');
      await rm(directory, { recursive: true, force: true });
    },
  };
  return server;
}

/** In a process of its own, which may use the old cipher that its continuation tokens are made with. */
async function startS3rver(directory: string): Promise<{ child: ChildProcess; port: number }> {
  const program = fileURLToPath(import.meta.resolve('s3rver/bin/s3rver.js'));
  const child = spawn(
    process.execPath,
    [
      ...['--openssl-legacy-provider', program, '--address', '127.0.0.1', '--port', '0'],
      ...['--directory', directory, '--configure-bucket', 'images'],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
  }
  for (;;) {
    const port = /listening on [^\s:]+:(\d+)/i.exec(said)?.[1];
    if (port !== undefined) return { child, port: Number(port) };
    if (child.exitCode !== null) throw new Error(`the S3 server did not start: ${said}`);
    await Promise.race([
      once(child.stdout, 'data'),
      once(child.stderr, 'data'),
      once(child, 'exit'),
    ]);
  }
}

function forward(
  server: S3Server,
  port: number,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): void {
  const { method = '', url = '', headers } = incoming;
  const index = server.trouble.findIndex(
    (trouble) => trouble.method === method && url.includes(trouble.path),
  );
  const [trouble] = index < 0 ? [] : server.trouble.splice(index, 1);
  if (trouble?.kind === 'unavailable') {
    incoming.resume();
    outgoing.writeHead(503).end('<Error><Code>SlowDown</Code></Error>');
    return;
  }
  const through = request({ host: '127.0.0.1', port, method, path: url, headers }, (answer) => {
    const chunks: Buffer[] = [];
    answer.on('data', (chunk: Buffer) => chunks.push(chunk));
    answer.on('end', () => {
      const body = Buffer.concat(chunks);
      if (trouble?.kind === 'alter' && body.length > 0) {
        const middle = body.length >> 1;
        body[middle] = (body[middle] ?? 0) ^ 0xff;
      }
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      server.bytesOut += body.length;
      if (trouble?.kind === 'cut') {
        outgoing.write(body.subarray(0, body.length >> 1), () => outgoing.destroy());
      } else if (trouble?.kind === 'slow') {
        setTimeout(() => outgoing.end(body), 300);
      } else {
        outgoing.end(body);
      }
    });
  });
  through.on('error', () => outgoing.destroy());
  incoming.pipe(through);
}
