import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { FRAME_HEADER_BYTES, FrameDecoder } from '../../protocol/log-frames.ts';
import { LOG_MEDIA_TYPE, ROUTES } from '../../protocol/api/routes.ts';
import type { EventView } from '../../protocol/api/resources.ts';
import { ProblemError } from '../../protocol/problem.ts';
import type { ArtifactStore } from '../files/artifact-store.ts';
import type { SourceStore } from '../files/source-store.ts';
import type { LogStore } from '../logs/log-store.ts';
import { fastifyPath, goneSignal } from './api-routes.ts';
import { authorizeRole, type Authenticate } from './authorize.ts';
import { parse } from './errors.ts';
import { EVENT_STREAM, Waiter, event, stream, type ResponseStream } from './event-stream.ts';

const EVENTS_AT_ONCE = 500;

export interface StreamSources {
  readonly authenticate: Authenticate;
  readonly logs: LogStore;
  readonly sources: SourceStore;
  readonly artifacts: ArtifactStore;
  /** What a reader of a job's log needs to know of it. Throws `not_found`. */
  logState(jobId: string): Promise<{ epoch: number; finished: boolean }>;
  artifact(jobId: string, path: string): Promise<{ epoch: number; size: number; sha256: string }>;
  latestEvent(): Promise<number>;
  eventsAfter(seq: number, limit: number): Promise<EventView[]>;
  /** Calls back whenever something changed. Returns the way to stop. */
  onChange(listener: () => void): () => void;
}

/** Mounts the operations whose bodies are streams. */
export function mountStreams(server: FastifyInstance, sources: StreamSources): void {
  const { authenticate } = sources;

  server.get(fastifyPath(ROUTES.jobLog), async (request, reply) => {
    await authorizeRole(authenticate, request, ROUTES.jobLog.role);
    const query = parse(ROUTES.jobLog.query, request.query, 'the query');
    await sendLog(sources, (request.params as { id: string }).id, query, request, reply);
  });

  server.get(fastifyPath(ROUTES.events), async (request, reply) => {
    await authorizeRole(authenticate, request, ROUTES.events.role);
    const query = parse(ROUTES.events.query, request.query, 'the query');
    const resumed = Number.parseInt(String(request.headers['last-event-id'] ?? ''), 10);
    const after = Number.isSafeInteger(resumed) ? resumed : query.after;
    await sendEvents(sources, after ?? (await sources.latestEvent()), reply);
  });

  server.get(fastifyPath(ROUTES.getArtifact), async (request, reply) => {
    await authorizeRole(authenticate, request, ROUTES.getArtifact.role);
    const { path } = parse(ROUTES.getArtifact.query, request.query, 'the query');
    const { id } = request.params as { id: string };
    const { epoch, size, sha256 } = await sources.artifact(id, path);
    const file = await sources.artifacts.open(id, epoch, sha256);
    if (file === undefined) throw new ProblemError('not_found', `artifact ${path} is gone`);
    const name = encodeURIComponent(path.split('/').at(-1) ?? 'artifact');
    await reply
      .type('application/octet-stream')
      .header('content-length', size)
      .header('content-disposition', `attachment; filename*=UTF-8''${name}`)
      .header('etag', `"${sha256}"`)
      .send(file.createReadStream());
  });

  server.put(
    fastifyPath(ROUTES.putSource),
    { bodyLimit: sources.sources.limitBytes },
    async (request, reply) => {
      await authorizeRole(authenticate, request, ROUTES.putSource.role);
      const { digest } = request.params as { digest: string };
      const known = await sources.sources.touch(digest);
      if (known !== undefined) {
        for await (const _ of request.body as AsyncIterable<Buffer>) continue;
        return reply.code(201).send({ digest, size: known });
      }
      const { size } = await sources.sources.put(digest, request.body as AsyncIterable<Buffer>);
      return reply.code(201).send({ digest, size });
    },
  );
}

async function sendEvents(sources: StreamSources, from: number, reply: FastifyReply) {
  await stream(reply, goneSignal(reply), EVENT_STREAM, async (out) => {
    const waiter = new Waiter();
    const unlisten = sources.onChange(waiter.wake);
    try {
      for (let after = from; ;) {
        const events = await sources.eventsAfter(after, EVENTS_AT_ONCE);
        for (const each of events) {
          await out.write(event(String(each.seq), each));
          after = each.seq;
        }
        if (events.length < EVENTS_AT_ONCE) await waiter.next(out, ':\n\n');
      }
    } finally {
      unlisten();
    }
  });
}

type LogForm = 'events' | 'frames' | 'plain';

async function sendLog(
  sources: StreamSources,
  jobId: string,
  query: { offset: number; follow: boolean; epoch?: number | undefined },
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const form = formOf(request);
  const state = await sources.logState(jobId);
  const resumed = /^(\d+):(\d+)$/.exec(String(request.headers['last-event-id'] ?? ''));
  const epoch = resumed === null ? (query.epoch ?? state.epoch) : Number(resumed[1]);
  const offset = resumed === null ? query.offset : Number(resumed[2]);
  const size = epoch === 0 ? 0 : await sources.logs.size(jobId, epoch);
  if (offset > size) {
    throw new ProblemError('wrong_offset', `the log has ${size} bytes so far`, { offset: size });
  }
  const start = offset === 0 ? 0 : await sources.logs.frameStart(jobId, epoch, offset);
  if (start !== offset) {
    const detail = `no frame of the log begins at ${offset}; one begins at ${start}`;
    throw new ProblemError('wrong_offset', detail, { offset: start });
  }
  const headers = { ...headersOf(form), 'pomona-log-epoch': String(epoch) };
  await stream(reply, goneSignal(reply), headers, (out) =>
    followLog(sources, jobId, { epoch, offset, follow: query.follow }, form, out),
  );
}

/**
 * Sends one log to its end. Following, it goes on until the job is finished or was handed to
 * another worker, whose log is another one: the reader asks again for that.
 */
async function followLog(
  sources: StreamSources,
  jobId: string,
  from: { epoch: number; offset: number; follow: boolean },
  form: LogForm,
  out: ResponseStream,
): Promise<void> {
  const waiter = new Waiter();
  const stops = [
    sources.onChange(waiter.wake),
    ...(from.epoch === 0 ? [] : [sources.logs.onGrowth(jobId, from.epoch, waiter.wake)]),
  ];
  let { offset } = from;
  try {
    for (;;) {
      const state = await sources.logState(jobId);
      if (from.epoch > 0) {
        for await (const piece of sources.logs.read(jobId, from.epoch, offset)) {
          offset = await sendPiece(piece, from.epoch, offset, form, out);
        }
      }
      if (!from.follow || state.finished || state.epoch !== from.epoch) return;
      await waiter.next(out, form === 'events' ? ':\n\n' : undefined);
    }
  } finally {
    for (const stop of stops) stop();
  }
}

async function sendPiece(
  piece: Buffer,
  epoch: number,
  offset: number,
  form: LogForm,
  out: ResponseStream,
): Promise<number> {
  if (form === 'frames') {
    await out.write(piece);
    return offset + piece.length;
  }
  const decoder = new FrameDecoder(offset);
  const frames = decoder.push(piece);
  if (form === 'plain') {
    await out.write(Buffer.concat(frames.map((frame) => frame.data)));
    return decoder.offset;
  }
  let at = offset;
  for (const frame of frames) {
    at += FRAME_HEADER_BYTES + frame.data.length;
    await out.write(event(`${epoch}:${at}`, { time: frame.time, ...textOrBytes(frame.data) }));
  }
  return at;
}

function textOrBytes(data: Buffer): { text: string } | { base64: string } {
  const text = data.toString('utf8');
  return Buffer.from(text).equals(data) ? { text } : { base64: data.toString('base64') };
}

function formOf(request: FastifyRequest): LogForm {
  const accept = request.headers.accept ?? '';
  if (accept.includes('text/event-stream')) return 'events';
  if (accept.includes(LOG_MEDIA_TYPE)) return 'frames';
  return 'plain';
}

function headersOf(form: LogForm): Record<string, string> {
  if (form === 'events') return EVENT_STREAM;
  return { 'content-type': form === 'frames' ? LOG_MEDIA_TYPE : 'text/plain; charset=utf-8' };
}
