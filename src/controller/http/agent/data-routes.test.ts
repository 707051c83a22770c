import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { request } from 'node:http';
import { describe, it } from 'node:test';
import { HOST_TOKEN, HttpHarness, JOIN_TOKEN } from '../../../../test/http-harness.ts';
import { encodeFrame } from '../../../protocol/log-frames.ts';

const sha256 = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest('hex');
const put = (body: Buffer | string) => ({ method: 'PUT', body });

async function withJob(t: Parameters<typeof HttpHarness.start>[0]): Promise<HttpHarness> {
  const harness = await HttpHarness.start(t);
  harness.jobs.set('j-1', { state: 'running', epoch: 2 });
  return harness;
}

describe('joining', () => {
  it('trades a join token for a credential', async (t) => {
    const harness = await HttpHarness.start(t);
    const join = (token: string, body: string) =>
      harness.fetch('/agent/v1/join', token, { method: 'POST', body });
    const joined = await join(JOIN_TOKEN, '{"name":"mini"}');
    assert.deepEqual(await joined.json(), { hostId: 'h-mini', fleet: 'f', credential: 'c' });
    const wrong = await join('token-admin', '{"name":"mini"}');
    assert.equal(wrong.status, 401);
    assert.match(wrong.headers.get('www-authenticate') ?? '', /^Bearer/);
    assert.equal((await join('', '{"name":"mini"}')).status, 401);
    assert.equal((await join(JOIN_TOKEN, '{"nam":"mini"}')).status, 422);
  });
});

describe('a log that an agent sends', () => {
  it('is appended, resumed where the answer says, and repeated without harm', async (t) => {
    const harness = await withJob(t);
    const bytes = Buffer.concat([
      encodeFrame(1, Buffer.from('one')),
      encodeFrame(2, Buffer.from('two')),
    ]);
    const send = async (offset: number, part: Buffer) => {
      const path = `/agent/v1/jobs/j-1/log?epoch=2&offset=${offset}`;
      const response = await harness.fetch(path, HOST_TOKEN, put(part));
      return { status: response.status, body: (await response.json()) as { offset: number } };
    };
    assert.deepEqual(await send(0, bytes.subarray(0, 5)), { status: 200, body: { offset: 5 } });
    const wrong = await send(9, bytes.subarray(9));
    assert.equal(wrong.status, 409);
    assert.equal(wrong.body.offset, 5);
    assert.deepEqual(await send(0, bytes), { status: 200, body: { offset: 26 } });
    assert.deepEqual(await send(26, Buffer.alloc(0)), { status: 200, body: { offset: 26 } });
    assert.equal(await (await harness.fetch('/api/v1/jobs/j-1/log')).text(), 'onetwo');
  });

  it('is visible while it is still being sent, and kept when the connection breaks', async (t) => {
    const harness = await withJob(t);
    const follower = await harness.fetch('/api/v1/jobs/j-1/log?follow=true');
    const sending = request(`${harness.server.url}/agent/v1/jobs/j-1/log?epoch=2&offset=0`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${HOST_TOKEN}` },
    });
    sending.on('error', () => undefined);
    const broken = new Promise((resolve) => sending.on('close', resolve));
    sending.write(encodeFrame(1, Buffer.from('early')));
    assert(follower.body !== null);
    const reader = follower.body.getReader();
    const { value } = await reader.read();
    assert.equal(Buffer.from(value ?? []).toString(), 'early');
    sending.destroy();
    await broken;
    assert.equal(await harness.logs.size('j-1', 2), 15);
    assert.deepEqual(harness.logged, []);
    await reader.cancel();
  });
});

describe('an upload that stands still', () => {
  it('loses its connection', async (t) => {
    const harness = await HttpHarness.start(t, {}, { stallMs: 200 });
    harness.jobs.set('j-1', { state: 'running', epoch: 2 });
    const sending = request(`${harness.server.url}/agent/v1/jobs/j-1/artifacts?epoch=2&path=a`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${HOST_TOKEN}` },
    });
    sending.on('error', () => undefined);
    const broken = new Promise((resolve) => sending.on('close', resolve));
    sending.write('half');
    await broken;
    assert.equal(harness.stored.size, 0);
  });
});

describe('an artifact that an agent sends', () => {
  it('is stored, recorded, and then there for everyone who may see the job', async (t) => {
    const harness = await withJob(t);
    const path = 'build/out.txt';
    const sent = await harness.fetch(
      `/agent/v1/jobs/j-1/artifacts?epoch=2&path=${encodeURIComponent(path)}`,
      HOST_TOKEN,
      put('content'),
    );
    assert.equal(sent.status, 201);
    assert.deepEqual(await sent.json(), { path, size: 7, sha256: sha256('content') });
    const url = `/api/v1/jobs/j-1/artifacts/content?path=${encodeURIComponent(path)}`;
    assert.equal(await (await harness.fetch(url, 'token-viewer')).text(), 'content');
  });

  it('may be as large as the limit and has a path below the working directory', async (t) => {
    const harness = await withJob(t);
    const send = (path: string, body: Buffer | string) =>
      harness.fetch(
        `/agent/v1/jobs/j-1/artifacts?epoch=2&path=${encodeURIComponent(path)}`,
        HOST_TOKEN,
        put(body),
      );
    for (const path of ['', '/etc/x', '../x', 'a/../b', 'a//b', './a', 'a\nb', 'a\\b']) {
      assert.equal((await send(path, 'x')).status, 422, path);
    }
    assert.equal((await send('...', 'x')).status, 201);
    assert.equal((await send('big', Buffer.alloc(9 * 1024 * 1024))).status, 413);
    assert.deepEqual([...harness.stored.keys()], ['j-1 ...']);
  });
});

describe('a source', () => {
  it('is uploaded by people and fetched by the agent that has the job', async (t) => {
    const harness = await withJob(t);
    const bytes = Buffer.alloc(1_000_000, 'tar');
    const digest = `sha256:${sha256(bytes)}`;
    const upload = (body: Buffer, as = digest) =>
      harness.fetch(`/api/v1/sources/${as}`, 'token-submitter', put(body));
    const fetchSource = () => harness.fetch('/agent/v1/jobs/j-1/source?epoch=2', HOST_TOKEN);
    assert.equal((await fetchSource()).status, 404);
    for (let turn = 0; turn < 2; turn += 1) {
      const uploaded = await upload(bytes);
      assert.equal(uploaded.status, 201);
      assert.deepEqual(await uploaded.json(), { digest, size: bytes.length });
    }
    harness.source = digest;
    assert(bytes.equals(Buffer.from(await (await fetchSource()).arrayBuffer())));

    const other = await upload(Buffer.from('other'), `sha256:${'0'.repeat(64)}`);
    assert.equal(other.status, 422);
    assert.equal((await upload(bytes, 'sha256:abc')).status, 422);
    assert.equal(
      (await upload(Buffer.alloc(9 * 1024 * 1024), `sha256:${'1'.repeat(64)}`)).status,
      413,
    );
    const names = await Promise.all(
      ['0', '1'].map((d) => harness.sources.has(`sha256:${d.repeat(64)}`)),
    );
    assert.deepEqual(names, [false, false]);
  });
});
