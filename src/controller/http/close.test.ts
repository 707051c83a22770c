import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import { WebSocket } from 'ws';
import { HOST_TOKEN, HttpHarness } from '../../../test/http-harness.ts';

function session(harness: HttpHarness, token: string): WebSocket {
  return new WebSocket(`${harness.server.url.replace('http', 'ws')}/agent/v1/session`, {
    headers: { authorization: `Bearer ${token}` },
  });
}

describe('agent sessions', () => {
  it('are handed over with the host that the credential belongs to', async (t) => {
    const harness = await HttpHarness.start(t);
    harness.onSession = (socket) =>
      socket.on('message', (data) => socket.send(`got ${String(data)}`));
    const socket = session(harness, HOST_TOKEN);
    await once(socket, 'open');
    socket.send('hello');
    const [answer] = await once(socket, 'message');
    assert.equal(String(answer), 'got hello');
    socket.close();
    await once(socket, 'close');
  });

  it('are refused to others, and elsewhere', async (t) => {
    const harness = await HttpHarness.start(t);
    for (const [token, status] of [
      ['token-unknown', 401],
      ['token-admin', 403],
    ] as const) {
      const socket = session(harness, token);
      socket.on('error', () => undefined);
      const [, response] = await once(socket, 'unexpected-response');
      assert.equal(response.statusCode, status);
      response.resume();
    }
    const elsewhere = new WebSocket(`${harness.server.url.replace('http', 'ws')}/api/v1/events`);
    elsewhere.on('error', () => undefined);
    const [, response] = await once(elsewhere, 'unexpected-response');
    assert.equal(response.statusCode, 404);
    response.resume();
    assert.equal(harness.sessions.length, 0);
  });
});

describe('closing the server', () => {
  it('ends streams, lets calls finish, sends agents away to come back, and leaves no listener', async (t) => {
    const begun = Promise.withResolvers<void>();
    const harness = await HttpHarness.start(t, {
      getJob: async ({ signal }) => {
        begun.resolve();
        if (!signal.aborted) await once(signal, 'abort');
        throw new Error('told to answer');
      },
    });
    harness.jobs.set('j-1', { state: 'running', epoch: 1 });
    const events = await harness.fetch('/api/v1/events');
    const log = await harness.fetch('/api/v1/jobs/j-1/log?follow=true');
    const call = harness.fetch('/api/v1/jobs/j-1?wait=60000');
    const agent = session(harness, HOST_TOKEN);
    const agentGone = once(agent, 'close');
    await Promise.all([begun.promise, once(agent, 'open')]);

    await harness.server.close();
    const [code] = await agentGone;
    assert.equal(code, 1012);
    assert.equal((await call).status, 500);
    await Promise.all([events.text(), log.text()]);
    assert.equal(harness.streamListeners(), 0);
    await assert.rejects(harness.fetch('/healthz'));
  });

  it('cuts what does not end in time', async (t) => {
    const begun = Promise.withResolvers<void>();
    const harness = await HttpHarness.start(
      t,
      {
        whoami: () => {
          begun.resolve();
          return new Promise(() => undefined);
        },
      },
      { graceMs: 200 },
    );
    const call = assert.rejects(harness.fetch('/api/v1/whoami'));
    await begun.promise;
    const idle = connect(harness.port, '127.0.0.1');
    await once(idle, 'connect');
    await harness.server.close();
    await call;
    idle.destroy();
  });

  it('does not wait for connections that are kept alive', async (t) => {
    const harness = await HttpHarness.start(t, {}, { graceMs: 60_000 });
    await (await harness.fetch('/healthz')).text();
    await harness.server.close();
  });
});
