import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  encodeFrame,
  FRAME_HEADER_BYTES,
  FrameDecoder,
  LogFormatError,
  MAX_FRAME_DATA_BYTES,
} from './log-frames.ts';

const frames = fc.array(
  fc.record(
    {
      time: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
      data: fc.uint8Array({ minLength: 1, maxLength: 50 }).map((bytes) => Buffer.from(bytes)),
    },
    { noNullPrototype: true },
  ),
  { maxLength: 20 },
);

/** `bytes` in pieces, their lengths taken from `cuts` in turn. */
function pieces(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const result: Buffer[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const end = at + (cuts[turn % cuts.length] ?? 1);
    result.push(bytes.subarray(at, end));
    at = end;
  }
  return result;
}

describe('log frames', () => {
  it('come back whole however the bytes are cut, with the offset at a frame', () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(frames, cuts, (wanted, lengths) => {
        const encoded = wanted.map((frame) => encodeFrame(frame.time, frame.data));
        const bytes = Buffer.concat(encoded);
        const decoder = new FrameDecoder(100);
        const starts = new Set([100]);
        for (let sum = 100, index = 0; index < encoded.length; index += 1) {
          sum += encoded[index]?.length ?? 0;
          starts.add(sum);
        }
        const got = pieces(bytes, lengths).flatMap((piece) => {
          const found = decoder.push(piece);
          assert(starts.has(decoder.offset));
          return found;
        });
        assert.deepEqual(got, wanted);
        assert.equal(decoder.offset, 100 + bytes.length);
      }),
    );
  });

  it('can be read from the start of any frame', () => {
    const first = encodeFrame(1, Buffer.from('one'));
    const bytes = Buffer.concat([first, encodeFrame(2, Buffer.from('two'))]);
    const decoder = new FrameDecoder(first.length);
    const [frame, ...more] = decoder.push(bytes.subarray(first.length));
    assert.deepEqual(frame, { time: 2, data: Buffer.from('two') });
    assert.deepEqual(more, []);
  });

  it('hold 1 to 65536 bytes', () => {
    assert.throws(() => encodeFrame(0, Buffer.alloc(0)), RangeError);
    assert.throws(() => encodeFrame(0, Buffer.alloc(MAX_FRAME_DATA_BYTES + 1)), RangeError);
    const full = encodeFrame(0, Buffer.alloc(MAX_FRAME_DATA_BYTES));
    assert.equal(full.length, FRAME_HEADER_BYTES + MAX_FRAME_DATA_BYTES);
    assert.equal(new FrameDecoder().push(full).length, 1);
  });

  it('are not mistaken for other bytes', () => {
    assert.throws(() => new FrameDecoder().push(Buffer.alloc(10)), LogFormatError);
    assert.throws(() => new FrameDecoder().push(Buffer.from('plain text')), LogFormatError);
  });
});
