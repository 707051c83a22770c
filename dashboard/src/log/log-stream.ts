import { API, errorOf, ApiError } from '../api/client.ts';

const HEADER_BYTES = 10;
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 10_000;

export interface LogReader {
  /** A piece as it was printed; ms since 1970. */
  data(bytes: Uint8Array, time: number): void;
  /** `true`: nothing more comes. */
  state(state: { readonly ended: boolean; readonly error?: unknown }): void;
}

/**
 * Reads the log of one hand-over from its beginning, follows it until it ends, and goes on where it was
 * when the connection breaks. Returns the way to stop.
 */
export function readLog(jobId: string, epoch: number, reader: LogReader): () => void {
  const stop = new AbortController();
  void run(jobId, epoch, reader, stop.signal);
  return () => stop.abort();
}

async function run(
  jobId: string,
  epoch: number,
  reader: LogReader,
  signal: AbortSignal,
): Promise<void> {
  let offset = 0;
  let failures = 0;
  while (!signal.aborted) {
    try {
      for await (const { data, time, end } of frames(jobId, epoch, offset, signal)) {
        failures = 0;
        offset = end;
        reader.data(data, time);
      }
      reader.state({ ended: true });
      return;
    } catch (error) {
      if (signal.aborted) return;
      reader.state({ ended: false, error });
      if (error instanceof ApiError && error.status < 500 && error.status !== 401) return;
      await new Promise((resolve) =>
        setTimeout(resolve, Math.min(FIRST_RETRY_MS * 2 ** failures, LONGEST_RETRY_MS)),
      );
      failures += 1;
    }
  }
}

interface Frame {
  readonly data: Uint8Array;
  readonly time: number;
  /** Where the next one begins. */
  readonly end: number;
}

/** Frames of a log, as `src/protocol/log-frames.ts` says what they are. */
async function* frames(
  jobId: string,
  epoch: number,
  from: number,
  signal: AbortSignal,
): AsyncGenerator<Frame> {
  const query = new URLSearchParams({ epoch: String(epoch), offset: String(from), follow: 'true' });
  const response = await fetch(`${API}/jobs/${jobId}/log?${query}`, {
    headers: { accept: 'application/vnd.pomona.log' },
    signal,
  });
  if (!response.ok || response.body === null) throw await errorOf(response);
  let rest = new Uint8Array(0);
  let offset = from;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const all = rest.length === 0 ? value : joined(rest, value);
    const view = new DataView(all.buffer, all.byteOffset, all.byteLength);
    let at = 0;
    while (all.length - at >= HEADER_BYTES) {
      const length = view.getUint32(at);
      const end = at + HEADER_BYTES + length;
      if (end > all.length) break;
      const time = view.getUint16(at + 4) * 2 ** 32 + view.getUint32(at + 6);
      offset += end - at;
      yield { data: all.subarray(at + HEADER_BYTES, end), time, end: offset };
      at = end;
    }
    rest = all.slice(at);
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}
