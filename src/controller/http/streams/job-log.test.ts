import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import { heldBytes, HttpHarness } from '../../../../test/http-harness.ts';
import { LOG_MEDIA_TYPE, ROUTES } from '../../../protocol/api/routes.ts';
import { encodeFrame, FrameDecoder } from '../../../protocol/log-frames.ts';

const frame = (text: string | Buffer, time = 7) => encodeFrame(time, Buffer.from(text));
const FRAMES = { headers: { accept: LOG_MEDIA_TYPE } };
const EVENTS = { headers: { accept: 'text/event-stream' } };
const resumeAt = (id: string) => ({ headers: { ...EVENTS.headers, 'last-event-id': id } });

async function bytesOf(response: Response): Promise<Buffer> {
  return Buffer.from(await response.arrayBuffer());
}

/** id and data of each event of a stream that ends. */
async function eventsOf(response: Response): Promise<[string, unknown][]> {
  const found = (await response.text()).matchAll(/id: (.*)\ndata: (.*)\n\n/g);
  const { eventData } = ROUTES.jobLog;
  return [...found].map(([, id = '', data = '']) => [id, eventData.parse(JSON.parse(data))]);
}

describe('the log of a job', () => {
  it('is shown as text, as frames or as events', async (t) => {
    const harness = await HttpHarness.start(t);
    harness.jobs.set('j-1', { state: 'finished', epoch: 1 });
    const bytes = Buffer.concat([frame('one\n', 1), frame(Buffer.from([0xff, 0x00]), 2)]);
    await harness.logs.append('j-1', 1, 0, bytes);
    const path = '/api/v1/jobs/j-1/log';

    const text = await harness.fetch(path, 'token-viewer');
    assert.match(text.headers.get('content-type') ?? '', /^text\/plain/);
    assert.deepEqual(await bytesOf(text), Buffer.from('one\n\xff\0', 'latin1'));

    const raw = await harness.fetch(path, 'token-viewer', FRAMES);
    assert.equal(raw.headers.get('content-type'), LOG_MEDIA_TYPE);
    assert.equal(raw.headers.get('pomona-log-epoch'), '1');
    assert.deepEqual(await bytesOf(raw), bytes);

    assert.deepEqual(await eventsOf(await harness.fetch(path, 'token-viewer', EVENTS)), [
      ['1:14', { time: 1, text: 'one\n' }],
      ['1:26', { time: 2, base64: '/wA=' }],
    ]);
  });

  it('is read from an offset, and gone on with behind the last event', async (t) => {
    const harness = await HttpHarness.start(t);
    harness.jobs.set('j-1', { state: 'finished', epoch: 1 });
    await harness.logs.append('j-1', 1, 0, Buffer.concat([frame('one'), frame('two')]));
    const path = '/api/v1/jobs/j-1/log';
    assert.equal(await (await harness.fetch(`${path}?offset=13`)).text(), 'two');
    assert.equal(await (await harness.fetch(`${path}?offset=26`)).text(), '');
    const resumed = await harness.fetch(`${path}?offset=0`, undefined, resumeAt('1:13'));
    assert.deepEqual(await eventsOf(resumed), [['1:26', { time: 7, text: 'two' }]]);
    const over = await harness.fetch(`${path}?follow=true`, undefined, resumeAt('1:26'));
    assert.equal(over.status, 204);
  });

  it('refuses offsets where no frame starts, epochs that never were, and unknown jobs', async (t) => {
    const harness = await HttpHarness.start(t);
    harness.jobs.set('j-1', { state: 'running', epoch: 2 });
    await harness.logs.append('j-1', 2, 0, Buffer.concat([frame('one'), frame('two')]));
    const refused = async (path: string, init?: RequestInit) => {
      const response = await harness.fetch(path, undefined, init);
      return (await response.json()) as { code: string; offset?: number };
    };
    const inside = await refused('/api/v1/jobs/j-1/log?offset=14');
    assert.deepEqual([inside.code, inside.offset], ['wrong_offset', 13]);
    const behind = await refused('/api/v1/jobs/j-1/log?offset=1000&follow=true');
    assert.deepEqual([behind.code, behind.offset], ['wrong_offset', 26]);
    assert.equal((await refused('/api/v1/jobs/j-1/log?epoch=3')).code, 'not_found');
    assert.equal((await refused('/api/v1/jobs/j-1/log?epoch=0')).code, 'invalid');
    assert.equal((await refused('/api/v1/jobs/j-1/log', resumeAt('1:2:3'))).code, 'invalid');
    assert.equal((await refused('/api/v1/jobs/j-2/log')).code, 'not_found');
  });

  it('is followed in whole frames until the job is finished and all was given', async (t) => {
    const harness = await HttpHarness.start(t);
    harness.jobs.set('j-1', { state: 'queued', epoch: 0 });
    const response = await harness.fetch('/api/v1/jobs/j-1/log?follow=true', undefined, FRAMES);
    assert(response.body !== null);
    const reader = response.body.getReader();
    const decoder = new FrameDecoder();
    const next = async () => {
      const { value } = await reader.read();
      return decoder.push(value ?? Buffer.alloc(0)).map(({ data }) => data.toString());
    };
    harness.setJob('j-1', { state: 'running', epoch: 1 });
    const bytes = Buffer.concat([frame('one'), frame('two'), frame('three')]);
    await harness.logs.append('j-1', 1, 0, bytes.subarray(0, 20));
    assert.deepEqual(await next(), ['one']);
    await harness.logs.append('j-1', 1, 20, bytes.subarray(20, 30));
    assert.deepEqual(await next(), ['two']);
    await harness.logs.append('j-1', 1, 30, bytes.subarray(30));
    harness.setJob('j-1', { state: 'finished', epoch: 1 });
    assert.deepEqual(await next(), ['three']);
    assert.equal((await reader.read()).done, true);
    assert.equal(harness.streamListeners(), 0);
  });

  it('goes on with the next hand-over in text and events, and ends there in frames', async (t) => {
    const harness = await HttpHarness.start(t);
    harness.jobs.set('j-1', { state: 'running', epoch: 1 });
    await harness.logs.append('j-1', 1, 0, frame('first'));
    const path = '/api/v1/jobs/j-1/log?follow=true';
    const [text, events, frames, one] = await Promise.all([
      harness.fetch(path),
      harness.fetch(path, undefined, EVENTS),
      harness.fetch(path, undefined, FRAMES),
      harness.fetch(`${path}&epoch=1`),
    ]);
    harness.setJob('j-1', { state: 'queued', epoch: 1 });
    harness.setJob('j-1', { state: 'running', epoch: 2 });
    assert.deepEqual(await bytesOf(frames), frame('first'));
    assert.equal(await one.text(), 'first');
    await harness.logs.append('j-1', 2, 0, frame('second'));
    harness.setJob('j-1', { state: 'finished', epoch: 2 });
    assert.equal(await text.text(), 'firstsecond');
    assert.deepEqual(
      (await eventsOf(events)).map(([id]) => id),
      ['1:15', '2:16'],
    );
    const late = await harness.fetch(path, undefined, resumeAt('1:15'));
    assert.deepEqual(await eventsOf(late), [['2:16', { time: 7, text: 'second' }]]);
    assert.equal(await (await harness.fetch('/api/v1/jobs/j-1/log?epoch=1')).text(), 'first');
  });

  it('ends for a follower whose job is gone', async (t) => {
    const harness = await HttpHarness.start(t, {}, { heartbeatMs: 20 });
    harness.jobs.set('j-1', { state: 'running', epoch: 1 });
    const response = await harness.fetch('/api/v1/jobs/j-1/log?follow=true');
    harness.jobs.delete('j-1');
    assert.equal(await response.text(), '');
  });

  it('cuts the answer, and says so in the own log, when the stored bytes are no log', async (t) => {
    const harness = await HttpHarness.start(t);
    harness.jobs.set('j-1', { state: 'finished', epoch: 1 });
    const bytes = Buffer.concat([frame('good'), Buffer.alloc(100)]);
    await harness.logs.append('j-1', 1, 0, bytes);
    const response = await harness.fetch('/api/v1/jobs/j-1/log');
    await assert.rejects(response.text());
    assert.equal(harness.logged.length, 1);
  });

  it('costs little memory when a reader never reads, and the reader loses its connection', async (t) => {
    const harness = await HttpHarness.start(t, {}, { stallMs: 300 });
    harness.jobs.set('j-1', { state: 'finished', epoch: 1 });
    const full = frame(Buffer.alloc(65_536, 'x'));
    const much = Buffer.concat(Array.from({ length: 100 }, () => full));
    for (let n = 0; n < 16; n += 1) await harness.logs.append('j-1', 1, n * much.length, much);
    const size = 16 * much.length;
    const before = heldBytes();
    const silent = Array.from({ length: 5 }, () => {
      const socket = connect(harness.port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.pause();
      socket.write(
        `GET /api/v1/jobs/j-1/log HTTP/1.1\r\nHost: x\r\nAccept: ${LOG_MEDIA_TYPE}\r\n` +
          'Authorization: Bearer token-viewer\r\n\r\n',
      );
      return socket;
    });
    const idle = once(harness, 'idle');
    const other = await harness.fetch('/api/v1/jobs/j-1/log', undefined, FRAMES);
    assert(other.body !== null);
    let got = 0;
    for await (const piece of other.body) got += piece.length;
    assert.equal(got, size);
    assert(heldBytes() - before < 32 * 1024 * 1024);
    await idle;
    for (const socket of silent) socket.destroy();
  });
});

describe('an artifact', () => {
  it('is downloaded under its own name, once', async (t) => {
    const harness = await HttpHarness.start(t);
    harness.jobs.set('j-1', { state: 'finished', epoch: 1 });
    const path = 'out/a "b" é.txt';
    const content = async function* () {
      yield Buffer.alloc(600_000, 'a');
    };
    const { size, sha256 } = await harness.artifacts.put('j-1', 1, content());
    harness.stored.set(`j-1 ${path}`, { jobId: 'j-1', epoch: 1, path, size, sha256 });
    const url = `/api/v1/jobs/j-1/artifacts/content?path=${encodeURIComponent(path)}`;
    const response = await harness.fetch(url, 'token-viewer');
    assert.equal(response.headers.get('content-length'), '600000');
    assert.equal(
      response.headers.get('content-disposition'),
      `attachment; filename="a _b_ _.txt"; filename*=UTF-8''a%20%22b%22%20%C3%A9.txt`,
    );
    const etag = response.headers.get('etag') ?? '';
    assert.equal(etag, `"${sha256}"`);
    assert.equal((await response.arrayBuffer()).byteLength, size);
    const again = await harness.fetch(url, undefined, { headers: { 'if-none-match': etag } });
    assert.equal(again.status, 304);
    assert.equal((await harness.fetch(url.replace('out', 'in'))).status, 404);
    assert.equal((await harness.fetch(url.split('?')[0] ?? '')).status, 422);
  });
});
