import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, test } from 'node:test';
import { WebSocketServer, type WebSocket } from 'ws';
import type { HostFacts } from '../domain/host.ts';
import type { DesiredWorker, ObservedWorker } from '../domain/worker.ts';
import { silentLogger } from '../platform/logger.ts';
import { CLOSE, type AgentMessage } from '../protocol/session.ts';
import { Controllers } from './controllers.ts';
import { Session, SessionRefusedError } from './session.ts';

const facts: HostFacts = {
  ...{ os: 'linux', osVersion: '12', arch: 'x64', cpus: 2, memoryBytes: 1 },
  ...{ labels: [], capacity: { workers: 1, macosVms: 0 } },
  ...{ sandboxes: [], stores: [], vms: [], images: [] },
};
const worker: ObservedWorker = { id: 'w-1', epoch: 1, state: 'ready' };
const welcome = { type: 'welcome', fleet: 'f1', hostId: 'h-1', heartbeatMs: 20, peerKey: '' };

let server: WebSocketServer;
let session: Session;
let desired: (readonly DesiredWorker[])[] = [];

beforeEach(async () => {
  desired = [];
  server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
});
afterEach(() => {
  session.close();
  for (const socket of server.clients) socket.terminate();
  server.close();
});

function start(): void {
  const { port } = server.address() as AddressInfo;
  const host = {
    name: 'mac-1',
    facts: () => facts,
    task: () => undefined,
    leaks: () => [],
    observed: () => [worker],
    diskFreeBytes: () => Promise.reject(new Error('no disk to be seen')),
    welcomed: () => undefined,
    desired: ({ workers }: { workers: readonly DesiredWorker[] }) => void desired.push(workers),
  };
  session = new Session(
    new Controllers(`http://127.0.0.1:${port}`),
    'credential',
    host,
    silentLogger,
  );
}

/** The next connection, once its hello came. */
async function nextAgent(): Promise<{ socket: WebSocket; hello: AgentMessage }> {
  const [socket] = (await once(server, 'connection')) as [WebSocket];
  return { socket, hello: await nextMessage(socket) };
}

async function nextMessage(socket: WebSocket): Promise<AgentMessage> {
  const [data] = (await once(socket, 'message')) as [Buffer];
  return JSON.parse(data.toString()) as AgentMessage;
}

test('it says what it is, everything once it is welcome, then what changes, and everything again and again', async () => {
  const arriving = nextAgent();
  start();
  const { socket, hello } = await arriving;
  assert.equal(hello.type, 'hello');
  socket.send(JSON.stringify(welcome));
  socket.send(JSON.stringify({ type: 'desired', workers: [], images: [] }));
  const first = await nextMessage(socket);
  assert.deepEqual(first, { type: 'observed', complete: true, workers: [worker], leaks: [] });
  assert.deepEqual(desired, [[]]);
  const running: ObservedWorker = { ...worker, state: 'running' };
  session.changed(running);
  let message = await nextMessage(socket);
  while (message.type === 'observed' && message.complete) message = await nextMessage(socket);
  assert.deepEqual(message, { type: 'observed', complete: false, workers: [running] });
});

test('a message that is no JSON, or not of the protocol, ends the session and not the agent', async () => {
  const arriving = nextAgent();
  start();
  for (const [bad, reason] of [
    ['not JSON', 'expected JSON'],
    ['{"type":"desired","workers":[{"id":7}]}', 'workers.0.id'],
  ] as const) {
    const { socket } = bad === 'not JSON' ? await arriving : await nextAgent();
    socket.send(bad);
    const [code, said] = (await once(socket, 'close')) as [number, Buffer];
    assert.equal(code, CLOSE.badMessage);
    assert.match(said.toString(), new RegExp(reason));
  }
});

test('a controller that falls silent without closing is left for a new session', async () => {
  const arriving = nextAgent();
  start();
  const { socket } = await arriving;
  const again = nextAgent();
  socket.send(JSON.stringify(welcome));
  // It reads nothing more, so it answers no ping; the connection stays open.
  socket.pause();
  const { hello } = await again;
  assert.equal(hello.type, 'hello');
});

test('an agent that was replaced does not come back', async () => {
  const arriving = nextAgent();
  start();
  const { socket } = await arriving;
  const refused = assert.rejects(session.done, SessionRefusedError);
  socket.close(CLOSE.superseded, 'another agent of this host connected');
  await refused;
});
