import { LOG_MEDIA_TYPE } from '../protocol/api/routes.ts';
import { FrameDecoder, type LogFrame } from '../protocol/log-frames.ts';
import { MarkFilter } from '../protocol/log-marks.ts';
import type { ApiClient } from './api-client.ts';

export interface LogReading {
  /** Go on until the job is finished, through lost connections and hand-overs. */
  readonly follow: boolean;
  readonly signal: AbortSignal | undefined;
}

/**
 * Reads a job's log frame by frame, at the pace of `onFrame`. Following, it goes on where it
 * stopped when the connection is lost, and with the new log when the job was handed over again.
 */
export async function readLog(
  client: ApiClient,
  id: string,
  reading: LogReading,
  onFrame: (frame: LogFrame) => Promise<void>,
): Promise<void> {
  const { follow, signal } = reading;
  let marks = new MarkFilter();
  const onShown = ({ time, data }: LogFrame) => onFrame({ time, data: marks.push(data) });
  let epoch: number | undefined;
  let offset = 0;
  for (;;) {
    const response = await client.send('jobLog', {
      params: { id },
      query: { offset, follow, epoch },
      headers: { accept: LOG_MEDIA_TYPE },
      patient: true,
      ...(signal === undefined ? {} : { signal }),
    });
    epoch = Number(response.headers.get('pomona-log-epoch'));
    const decoder = new FrameDecoder(offset);
    const whole = await readBody(response, decoder, onShown);
    signal?.throwIfAborted();
    offset = decoder.offset;
    if (!follow) return;
    if (!whole) continue;
    const job = await client.call('getJob', { params: { id }, patient: true });
    // A job that was never handed over has the log of the first hand-over, which stays empty.
    const current = Math.max(1, job.epoch);
    if (job.state === 'finished' && current === epoch) return;
    if (current !== epoch) {
      epoch = current;
      offset = 0;
      marks = new MarkFilter();
    }
  }
}

/** False when the connection was lost before the end. */
async function readBody(
  response: Response,
  decoder: FrameDecoder,
  onFrame: (frame: LogFrame) => Promise<void>,
): Promise<boolean> {
  const reader = response.body?.getReader();
  for (;;) {
    let piece: { done: boolean; value?: Uint8Array } | undefined;
    try {
      piece = await reader?.read();
    } catch {
      return false;
    }
    if (piece?.value === undefined) return true;
    for (const frame of decoder.push(piece.value)) await onFrame(frame);
  }
}
