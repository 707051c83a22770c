import { CiError } from '../ci.ts';

/** What the master tells by itself; each is a stream of its own. */
const TOPICS = ['buildrequests/*/*', 'builds/*/*', 'workers/*/*'] as const;

/** Calls `heard` at each event of the master, until a stream ends or `signal` aborts. */
export async function followEvents(
  url: string,
  heard: () => void,
  signal: AbortSignal,
): Promise<void> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const streams = TOPICS.map((topic) => followTopic(`${url}/sse/listen/${topic}`, heard, either));
  try {
    await Promise.race(streams);
  } finally {
    stop.abort();
    await Promise.allSettled(streams);
  }
}

async function followTopic(url: string, heard: () => void, signal: AbortSignal): Promise<void> {
  let response: Response;
  try {
    response = await fetch(url, { headers: { accept: 'text/event-stream' }, signal });
  } catch (cause) {
    signal.throwIfAborted();
    throw new CiError('unavailable', `the events of Buildbot at ${url} cannot be followed`, {
      cause,
    });
  }
  if (!response.ok || response.body === null) {
    throw new CiError('unavailable', `the events of Buildbot: the answer is ${response.status}`);
  }
  const decoder = new TextDecoder();
  for await (const piece of response.body) {
    if (/^event: *event/m.test(decoder.decode(piece as Uint8Array, { stream: true }))) heard();
  }
}
