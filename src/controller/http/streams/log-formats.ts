import { isUtf8 } from 'node:buffer';
import { LOG_MEDIA_TYPE } from '../../../protocol/api/routes.ts';
import { FRAME_HEADER_BYTES, FrameDecoder } from '../../../protocol/log-frames.ts';
import type { LogPart } from './follow-log.ts';
import { EVENT_STREAM_HEADERS, HEARTBEAT } from './events.ts';

/** One way to show a log. */
export interface LogFormat {
  readonly name: 'text' | 'events' | 'frames';
  readonly contentType: string;
  /** The bytes for a part; what it gives may be written in one go. */
  render(part: LogPart): Buffer | string;
  /** Written when nothing comes for a while. */
  readonly heartbeat?: string;
}

const text: LogFormat = {
  name: 'text',
  contentType: 'text/plain; charset=utf-8',
  render: ({ bytes }) => Buffer.concat(framesOf(bytes).map((frame) => frame.data)),
};

const events: LogFormat = {
  name: 'events',
  contentType: EVENT_STREAM_HEADERS['content-type'],
  heartbeat: HEARTBEAT,
  render({ epoch, offset, bytes }) {
    let at = offset;
    let out = '';
    for (const { time, data } of framesOf(bytes)) {
      at += FRAME_HEADER_BYTES + data.length;
      const event = isUtf8(data)
        ? { time, text: data.toString('utf8') }
        : { time, base64: data.toString('base64') };
      out += `id: ${epoch}:${at}\ndata: ${JSON.stringify(event)}\n\n`;
    }
    return out;
  },
};

const frames: LogFormat = {
  name: 'frames',
  contentType: LOG_MEDIA_TYPE,
  render: ({ bytes }) => bytes,
};

/** Preferred first, when a client takes several or says nothing. */
const FORMATS: readonly LogFormat[] = [text, events, frames];

/** The format that an Accept header asks for; what it names in vain is passed over. */
export function formatFor(accept: string | undefined): LogFormat {
  let best = { format: text, weight: 0 };
  for (const range of (accept ?? '').split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const format = FORMATS.find(({ contentType }) => matches(type, contentType));
    const q = parameters.find((parameter) => parameter.startsWith('q='));
    const weight = q === undefined ? 1 : Number(q.slice(2));
    if (format !== undefined && weight > best.weight) best = { format, weight };
  }
  return best.format;
}

function matches(range: string, contentType: string): boolean {
  const type = contentType.split(';')[0] ?? '';
  return range === type || range === '*/*' || range === `${type.split('/')[0]}/*`;
}

function framesOf(bytes: Buffer) {
  return new FrameDecoder().push(bytes);
}
