import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, describe, test } from 'node:test';
import type { HostView } from '../../src/protocol/api/host-resources.ts';
import { HostsOnAWire, noNamespaces } from '../namespaces.ts';
import { startS3, type S3Server } from '../s3-server.ts';
import { Pomona, kill, until } from './pomona.ts';

const PROGRAM = fileURLToPath(new URL('../../bin/pomona', import.meta.url));
const HOSTS = 4;
const IMAGE_BYTES = 24 * 2 ** 20;

/** The credentials of the S3 server, which has set them here. */
function aws(): Record<string, string> {
  const { AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '' } = process.env;
  return { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY };
}

/** Passes requests on to a server on this machine, and counts what it answers with packs. */
async function counting(target: string, host: string) {
  const to = new URL(target);
  const exact = { packBytes: 0 };
  const server: Server = createServer((incoming, outgoing) => {
    const { method, url, headers } = incoming;
    const passed = request({ host: to.hostname, port: to.port, method, path: url, headers });
    passed.on('response', (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      if (method === 'GET' && (url ?? '').includes('/packs/')) {
        answer.on('data', (chunk: Buffer) => (exact.packBytes += chunk.length));
      }
      answer.pipe(outgoing);
    });
    incoming.pipe(passed);
  });
  server.listen(0, host);
  await once(server, 'listening');
  const endpoint = `http://${host}:${(server.address() as AddressInfo).port}`;
  return { exact, endpoint, close: () => server.close() };
}

describe('hosts that give images to each other', { skip: noNamespaces() }, () => {
  let wire: HostsOnAWire;
  let pomona: Pomona;
  let s3: S3Server;
  let proxy: Awaited<ReturnType<typeof counting>>;
  let dir = '';
  const agents: ChildProcess[] = [];
  const remote = () => `s3://images/macs?endpoint=${proxy.endpoint}`;
  const here = () => ['--agent-data', join(dir, 'publisher')];

  before(async () => {
    wire = new HostsOnAWire();
    dir = await mkdtemp(join(tmpdir(), 'pomona-peers-'));
    s3 = await startS3();
    const endpoint = new URL(s3.location('x')).searchParams.get('endpoint') ?? '';
    proxy = await counting(endpoint, wire.address);
    pomona = await Pomona.make({ env: aws() });
    await writeFile(
      join(pomona.data, 'pomona.yaml'),
      'pools:\n  - { name: p, labels: [p], image: tools, ready: 0 }\n',
    );
    const listen = `${wire.address}:${pomona.port}`;
    await pomona.start(['serve', '--data', pomona.data, '--listen', listen]);
    const join_ = ['token', 'join', '--uses', String(HOSTS), '--output', join(dir, 'join.token')];
    await pomona.run(join_);
  });
  after(async () => {
    for (const agent of agents) await kill(agent, 'SIGKILL');
    await pomona.remove();
    proxy.close();
    await s3.close();
    wire.remove();
    await rm(dir, { recursive: true });
  });

  async function publish(): Promise<void> {
    const source = await mkdtemp(join(dir, 'source-'));
    await mkdir(join(source, 'home'));
    await writeFile(join(source, 'home/big'), randomBytes(IMAGE_BYTES));
    for (const args of [
      ['image', 'import', 'tools', source],
      ['image', 'push', 'tools', remote()],
    ]) {
      const ran = await pomona.run([...args, ...here()]);
      assert.equal(ran.code, 0, ran.err);
    }
  }

  function startAgent(): void {
    const { name, address } = wire.add();
    const { PATH = '', HOME = '' } = process.env;
    const child = wire.spawn(
      name,
      [
        ...[PROGRAM, 'agent', 'run', '--name', name, '--data', join(dir, name)],
        ...['--controller', `http://${wire.address}:${pomona.port}`],
        ...['--join-token-file', join(dir, 'join.token')],
        ...['--image-remote', remote(), '--peer-listen', `${address}:7767`],
      ],
      { PATH, HOME, ...aws() },
    );
    child.stdout?.resume();
    child.stderr?.resume();
    agents.push(child);
  }

  test('a release reaches every host, and the remote sends it no more than twice', async () => {
    await publish();
    const before = proxy.exact.packBytes;
    for (let count = 0; count < HOSTS; count += 1) startAgent();
    await until(
      'every host has it',
      async () => {
        const hosts = await pomona.json<HostView[]>(['host', 'list']);
        const having = hosts.filter(({ facts }) =>
          facts?.images.some(({ name }) => name === 'tools'),
        );
        return having.length === HOSTS;
      },
      90_000,
    );
    const sent = proxy.exact.packBytes - before;
    assert.ok(sent >= IMAGE_BYTES, `${sent}`);
    assert.ok(sent < 2.2 * IMAGE_BYTES, `the remote sent ${sent} bytes`);
  });
});
