import { z } from 'zod';
import { ChunkTable } from '../chunk-table.ts';
import { ID_BYTES } from './chunk.ts';
import { ImageFormatError } from './manifest.ts';

/**
 * Where a remote keeps the chunks of one image: names of packs, and for each chunk its pack and
 * the place in it. A stored length that equals the chunk's own means that it is not compressed;
 * any other is a zstd frame.
 */
export interface Placement {
  readonly packs: readonly string[];
  /** Place of a chunk: number of its pack in `packs`, offset in it, stored length. */
  readonly chunks: ChunkTable;
}

const MAGIC = Buffer.from('pomona-placement-1\n');
const LENGTH_BYTES = 4;
const RECORD_BYTES = ID_BYTES + 12;

const headerSchema = z.strictObject({
  packs: z.array(z.string().regex(/^[0-9a-f]{32}$/)),
  chunks: z.int().min(0),
});

/** Magic, the length of a JSON header (32 bits, big-endian), the header, a record for each chunk. */
export function encodePlacement({ packs, chunks }: Placement): Buffer {
  const header = Buffer.from(JSON.stringify({ packs, chunks: chunks.size }));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(header.length);
  const records = Buffer.alloc(chunks.size * RECORD_BYTES);
  let at = 0;
  for (const [id, [pack, offset, stored]] of chunks) {
    records.set(id, at);
    records.writeUInt32BE(pack, at + ID_BYTES);
    records.writeUInt32BE(offset, at + ID_BYTES + 4);
    records.writeUInt32BE(stored, at + ID_BYTES + 8);
    at += RECORD_BYTES;
  }
  return Buffer.concat([MAGIC, length, header, records]);
}

/** Throws `ImageFormatError`. */
export function decodePlacement(bytes: Buffer): Placement {
  const start = MAGIC.length + LENGTH_BYTES;
  if (bytes.length < start || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new ImageFormatError('this is no placement of a version this Pomona knows');
  }
  const end = start + bytes.readUInt32BE(MAGIC.length);
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString('utf8', start, end));
  } catch {
    json = undefined;
  }
  const header = headerSchema.safeParse(json);
  if (!header.success) throw new ImageFormatError('placement: its header is damaged');
  const { packs } = header.data;
  if (bytes.length !== end + header.data.chunks * RECORD_BYTES) {
    throw new ImageFormatError('placement: it is cut short');
  }
  const chunks = new ChunkTable();
  for (let at = end; at < bytes.length; at += RECORD_BYTES) {
    const pack = bytes.readUInt32BE(at + ID_BYTES);
    if (pack >= packs.length) throw new ImageFormatError('placement: it names no such pack');
    const offset = bytes.readUInt32BE(at + ID_BYTES + 4);
    chunks.add(bytes, at, [pack, offset, bytes.readUInt32BE(at + ID_BYTES + 8)]);
  }
  return { packs, chunks };
}
