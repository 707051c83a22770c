import { hash } from 'node:crypto';
import { z } from 'zod';
import { CHUNK_BYTES, chunkCount, ID_BYTES } from './chunk.ts';

/** Thrown for bytes that are not what the format says. */
export class ImageFormatError extends Error {
  readonly code = 'image_format';
}

/** A regular file. `ids`: those of its chunks, one after the other. */
export interface FileEntry {
  readonly type: 'file';
  /** Any bytes but 0; below the image's root, with `/` between names. Empty: the image itself. */
  readonly path: Buffer;
  readonly mode: number;
  readonly mtimeMs: number;
  readonly size: number;
  readonly ids: Buffer;
}
export interface DirectoryEntry {
  readonly type: 'directory';
  readonly path: Buffer;
  readonly mode: number;
  readonly mtimeMs: number;
}
export interface SymlinkEntry {
  readonly type: 'symlink';
  readonly path: Buffer;
  readonly target: Buffer;
}
/** Another name of a file that comes before it. */
export interface HardLinkEntry {
  readonly type: 'hard-link';
  readonly path: Buffer;
  readonly target: Buffer;
}
export type Entry = FileEntry | DirectoryEntry | SymlinkEntry | HardLinkEntry;

/**
 * What an image holds: one file (a disk), or a tree of files. Entries are sorted by the bytes of
 * their paths, so directories come before what is in them. Equal content gives equal bytes.
 */
export interface Manifest {
  readonly kind: 'file' | 'tree';
  readonly entries: readonly Entry[];
}

const MAGIC = Buffer.from('pomona-image-1\n');
const LENGTH_BYTES = 4;

const bytesSchema = z.union([
  z.string(),
  z.strictObject({ hex: z.string().regex(/^([0-9a-f]{2})+$/) }),
]);
const mode = z.int().min(0).max(0o7777);
const headerSchema = z.strictObject({
  kind: z.enum(['file', 'tree']),
  chunkBytes: z.literal(CHUNK_BYTES),
  entries: z.array(
    z.discriminatedUnion('type', [
      z.strictObject({
        type: z.literal('file'),
        path: bytesSchema,
        mode,
        mtimeMs: z.number(),
        size: z.int().min(0),
      }),
      z.strictObject({
        type: z.literal('directory'),
        path: bytesSchema,
        mode,
        mtimeMs: z.number(),
      }),
      z.strictObject({ type: z.literal('symlink'), path: bytesSchema, target: bytesSchema }),
      z.strictObject({ type: z.literal('hard-link'), path: bytesSchema, target: bytesSchema }),
    ]),
  ),
});

/**
 * The manifest as bytes: a line of magic, the length of a JSON header (32 bits, big-endian), the
 * header, then the ids of all chunks in the order of the entries.
 */
export function encodeManifest(manifest: Manifest): Buffer {
  const entries = manifest.entries.map((entry) => {
    const path = encodeBytes(entry.path);
    switch (entry.type) {
      case 'file':
        return {
          type: entry.type,
          path,
          mode: entry.mode,
          mtimeMs: entry.mtimeMs,
          size: entry.size,
        };
      case 'directory':
        return { type: entry.type, path, mode: entry.mode, mtimeMs: entry.mtimeMs };
      case 'symlink':
      case 'hard-link':
        return { type: entry.type, path, target: encodeBytes(entry.target) };
    }
  });
  const header = Buffer.from(
    JSON.stringify({ kind: manifest.kind, chunkBytes: CHUNK_BYTES, entries }),
  );
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(header.length);
  const ids = manifest.entries.flatMap((entry) => (entry.type === 'file' ? [entry.ids] : []));
  return Buffer.concat([MAGIC, length, header, ...ids]);
}

/** Throws `ImageFormatError`. The ids are views of `bytes`. */
export function decodeManifest(bytes: Buffer): Manifest {
  const start = MAGIC.length + LENGTH_BYTES;
  if (bytes.length < start || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new ImageFormatError('this is no image manifest of a version this Pomona knows');
  }
  const end = start + bytes.readUInt32BE(MAGIC.length);
  const header = headerSchema.safeParse(parseJson(bytes.subarray(start, end)));
  if (!header.success) {
    const [issue] = header.error.issues;
    throw new ImageFormatError(`image manifest: ${issue?.path.join('.')}: ${issue?.message}`);
  }
  let at = end;
  const entries = header.data.entries.map((entry): Entry => {
    const path = decodeBytes(entry.path);
    checkPath(path, header.data.kind);
    switch (entry.type) {
      case 'file': {
        const length = chunkCount(entry.size) * ID_BYTES;
        const ids = bytes.subarray(at, at + length);
        at += length;
        return { ...entry, path, ids };
      }
      case 'directory':
        return { ...entry, path };
      case 'symlink':
      case 'hard-link':
        return { ...entry, path, target: decodeBytes(entry.target) };
    }
  });
  if (at !== bytes.length) {
    throw new ImageFormatError(`image manifest: ${bytes.length} bytes, expected ${at}`);
  }
  return { kind: header.data.kind, entries };
}

/** `sha256:<hex>` of the manifest's bytes: the image is known by it everywhere. */
export function imageDigest(manifestBytes: Buffer): string {
  return `sha256:${hash('sha256', manifestBytes)}`;
}

/** Bytes of all files, holes included. */
export function imageSize(manifest: Manifest): number {
  return manifest.entries.reduce((sum, entry) => sum + (entry.type === 'file' ? entry.size : 0), 0);
}

/** No manifest may name a place outside of its image. */
function checkPath(path: Buffer, kind: Manifest['kind']): void {
  const names = path.toString('latin1').split('/');
  const isSafe =
    kind === 'file'
      ? path.length === 0
      : names.every((name) => name !== '' && name !== '.' && name !== '..' && !name.includes('\0'));
  if (!isSafe)
    throw new ImageFormatError(`image manifest: unsafe path ${JSON.stringify(path.toString())}`);
}

/** As text where it is UTF-8, which is nearly always. */
function encodeBytes(bytes: Buffer): z.input<typeof bytesSchema> {
  const text = bytes.toString('utf8');
  return Buffer.from(text).equals(bytes) ? text : { hex: bytes.toString('hex') };
}

function decodeBytes(value: z.output<typeof bytesSchema>): Buffer {
  return typeof value === 'string' ? Buffer.from(value) : Buffer.from(value.hex, 'hex');
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}
