import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { heldBytes, HttpHarness } from '../../../../test/http-harness.ts';
import { eventSchema } from '../../../protocol/api/resources.ts';

/** Reads a body until it has `count` events, or to its end. */
async function readEvents(response: Response, count = Infinity): Promise<Record<string, string>[]> {
  const events: Record<string, string>[] = [];
  let text = '';
  assert.equal(response.headers.get('content-type'), 'text/event-stream');
  if (response.body === null || count === 0) return events;
  const decoder = new TextDecoder();
  for await (const piece of response.body) {
    text += decoder.decode(piece, { stream: true });
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks.filter((each) => !each.startsWith(':'))) {
      events.push(Object.fromEntries(block.split('\n').map((line) => line.split(/: (.*)/s))));
    }
    if (events.length >= count) break;
  }
  return events;
}

const idsOf = (events: Record<string, string>[]) => events.map(({ id }) => Number(id));

function silentReader(harness: HttpHarness, path: string): Socket {
  const socket = connect(harness.port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.pause();
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer token-viewer\r\n\r\n`);
  return socket;
}

describe('the stream of events', () => {
  it('gives what happens from now on', async (t) => {
    const harness = await HttpHarness.start(t);
    harness.addEvents(3);
    const response = await harness.fetch('/api/v1/events', 'token-viewer');
    harness.addEvents(2);
    const events = await readEvents(response, 2);
    assert.deepEqual(idsOf(events), [4, 5]);
    assert.deepEqual(eventSchema.parse(JSON.parse(events[0]?.['data'] ?? '')), harness.events[3]);
  });

  it('goes on behind `after`, and rather behind the last event that was seen', async (t) => {
    const harness = await HttpHarness.start(t);
    harness.addEvents(1200);
    const all = await readEvents(await harness.fetch('/api/v1/events?after=0'), 1200);
    assert.deepEqual(
      idsOf(all),
      harness.events.map(({ seq }) => seq),
    );
    const resumed = await harness.fetch('/api/v1/events?after=0', undefined, {
      headers: { 'last-event-id': '1190' },
    });
    assert.deepEqual(idsOf(await readEvents(resumed, 10))[0], 1191);
    const odd = await harness.fetch('/api/v1/events', undefined, {
      headers: { 'last-event-id': 'x' },
    });
    assert.equal(odd.status, 422);
  });

  it('starts with the latest when it is asked for what was never given', async (t) => {
    const harness = await HttpHarness.start(t);
    harness.addEvents(2);
    const response = await harness.fetch('/api/v1/events?after=500');
    harness.addEvents(1);
    assert.deepEqual(idsOf(await readEvents(response, 1)), [3]);
  });

  it('sends comments while nothing happens', async (t) => {
    const harness = await HttpHarness.start(t, {}, { heartbeatMs: 20 });
    const response = await harness.fetch('/api/v1/events');
    let text = '';
    assert(response.body !== null);
    for await (const piece of response.body) {
      text += Buffer.from(piece).toString();
      if (text.length >= 12) break;
    }
    assert.match(text, /^(:\n\n)+$/);
  });

  it('stops listening when the reader is gone', async (t) => {
    const harness = await HttpHarness.start(t, {}, { heartbeatMs: 20 });
    const response = await harness.fetch('/api/v1/events');
    assert.equal(harness.streamListeners(), 1);
    const closed = once(harness, 'idle');
    await response.body?.cancel();
    await closed;
    assert.equal(harness.streamListeners(), 0);
  });

  it('holds little for a reader that never reads, serves others, and ends it', async (t) => {
    const harness = await HttpHarness.start(t, {}, { stallMs: 300 });
    harness.addEvents(60_000, 'because '.repeat(100));
    const before = heldBytes();
    const silent = silentReader(harness, '/api/v1/events?after=0');
    const ended = once(harness, 'idle');
    const other = await harness.fetch('/api/v1/events?after=0');
    assert.equal(idsOf(await readEvents(other, 5000)).length >= 5000, true);
    assert(heldBytes() - before < 16 * 1024 * 1024);
    await ended;
    silent.destroy();
    assert.deepEqual(harness.logged, []);
  });
});
