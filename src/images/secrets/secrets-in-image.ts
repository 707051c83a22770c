import { join } from 'node:path';
import { z } from 'zod';
import { readJson, writeJson } from '../../platform/atomic-file.ts';
import { ChunkTable } from '../chunk-table.ts';
import { bytesOf, chunksOf, lengthOf, offsetOf, runsOf } from '../chunks.ts';
import { CHUNK_BYTES, ID_BYTES } from '../format/chunk.ts';
import type { FileEntry, Manifest } from '../format/manifest.ts';
import type { LocalImages } from '../local-images.ts';
import { OpenFiles } from '../open-files.ts';
import { inParts } from '../parts.ts';
import { below } from '../paths.ts';
import type { WorkOptions } from '../progress.ts';
import type { Threads } from '../work/threads.ts';
import { findingId } from './find.ts';
import { CONTENT_RULES, PATH_RULES, RULES_VERSION } from './rules.ts';

/** Chunks looked through by one task. */
const TASK_CHUNKS = 16;
/** More are not told: the image is not fit to be sent anyway. */
const MOST_FINDINGS = 1_000;
const SHOWN_FINDINGS = 20;

const findingSchema = z.strictObject({
  id: z.string(),
  rule: z.string(),
  /** Below the image's root; empty for an image of one file. */
  path: z.string(),
  /** Bytes from the beginning of the file; absent when its name tells. */
  offset: z.number().exactOptional(),
});
/** A secret in an image. */
export type Finding = z.output<typeof findingSchema>;

const recordSchema = z.strictObject({
  version: z.literal(RULES_VERSION),
  findings: z.array(findingSchema),
});

/** For people: what a finding is. */
export function whatIsFound({ rule }: Pick<Finding, 'rule'>): string {
  return [...CONTENT_RULES, ...PATH_RULES].find(({ name }) => name === rule)?.what ?? rule;
}

/**
 * The secrets in an image, in the order of its files. Every chunk is looked through once: what other
 * images here were found free of is not looked through again, but for its edges, and the result is
 * kept with the image.
 */
export async function secretsInImage(
  images: LocalImages,
  threads: Threads,
  digest: string,
  options: WorkOptions = {},
): Promise<Finding[]> {
  const path = join(images.contentDir(digest), 'secrets.json');
  const known = recordSchema.safeParse(await readJson(path));
  if (known.success) return known.data.findings;
  const manifest = await images.manifest(digest);
  const free = await freeChunks(images);
  const findings = [
    ...findByPath(manifest),
    ...(await findByContent(images, threads, digest, manifest, free, options)),
  ].slice(0, MOST_FINDINGS);
  await writeJson(path, { version: RULES_VERSION, findings } satisfies z.input<
    typeof recordSchema
  >);
  return findings;
}

function findByPath({ entries }: Manifest): Finding[] {
  const findings: Finding[] = [];
  for (const entry of entries) {
    if (entry.type !== 'file' || entry.size === 0) continue;
    const path = entry.path.toString();
    const rule = PATH_RULES.find((each) => each.path.test(path));
    if (rule === undefined) continue;
    // Of its content, so that the same file is known again, and another is not.
    const content = entry.ids.toString('latin1');
    findings.push({ id: findingId(rule.name, content), rule: rule.name, path });
  }
  return findings;
}

async function findByContent(
  images: LocalImages,
  threads: Threads,
  digest: string,
  manifest: Manifest,
  free: ChunkTable,
  { signal, progress }: WorkOptions,
): Promise<Finding[]> {
  const wanted = [...chunksOf(manifest)].filter(
    ({ entry, index }) => !free.has(entry.ids, index * ID_BYTES),
  );
  const totalBytes = bytesOf(wanted);
  let doneBytes = 0;
  const found = new Map<string, Finding>();
  const files = new OpenFiles('r');
  try {
    await inParts(runsOf(wanted, TASK_CHUNKS), 1, threads.width, async ([run]) => {
      signal?.throwIfAborted();
      const [first, last] = [run?.[0], run?.at(-1)];
      if (first === undefined || last === undefined || run === undefined) return;
      const { entry } = first;
      const [from, to] = [offsetOf(first), offsetOf(last) + lengthOf(last)];
      const path = below(images.dataPath(digest), entry.path);
      const { size } = entry;
      const matches = await files.use(path, (fd) => threads.run('search', { fd, from, to, size }));
      for (const { rule, at, id } of matches) {
        const finding = { id, rule, path: entry.path.toString(), offset: at };
        found.set(`${finding.path}\0${at}`, finding);
      }
      doneBytes += bytesOf(run);
      progress?.({ phase: 'search', doneBytes, totalBytes });
    });
  } finally {
    await files.close();
  }
  return [...found.values()].toSorted((a, b) =>
    a.path === b.path ? (a.offset ?? 0) - (b.offset ?? 0) : a.path < b.path ? -1 : 1,
  );
}

/** Chunks of the images here that were looked through, and hold nothing. */
async function freeChunks(images: LocalImages): Promise<ChunkTable> {
  const free = new ChunkTable();
  for (const digest of await images.digests()) {
    const record = recordSchema.safeParse(
      await readJson(join(images.contentDir(digest), 'secrets.json')),
    );
    if (!record.success || record.data.findings.length >= MOST_FINDINGS) continue;
    const held = heldChunks(record.data.findings);
    for (const { entry, index } of chunksOf(await images.manifest(digest))) {
      if (!held.has(chunkKey(entry, index))) free.add(entry.ids, index * ID_BYTES, [0, 0, 0]);
    }
  }
  return free;
}

/** The chunks that a finding is in, with the next, into which it may reach. */
function heldChunks(findings: readonly Finding[]): Set<string> {
  const held = new Set<string>();
  for (const { path, offset } of findings) {
    if (offset === undefined) continue;
    const index = Math.floor(offset / CHUNK_BYTES);
    held.add(`${path}\0${index}`).add(`${path}\0${index + 1}`);
  }
  return held;
}

function chunkKey(entry: FileEntry, index: number): string {
  return `${entry.path.toString()}\0${index}`;
}

/** Thrown for an image with secrets that nobody allowed. */
export class SecretsError extends Error {
  readonly code = 'secrets';
  readonly findings: readonly Finding[];
  constructor(findings: readonly Finding[]) {
    const lines = findings.map((each) => `  ${each.id}  ${whatIsFound(each)}: ${placeOf(each)}`);
    const shown = lines.slice(0, SHOWN_FINDINGS);
    const more =
      lines.length > shown.length
        ? [`  and ${lines.length - shown.length} more; --json lists all`]
        : [];
    super(
      [
        `the image holds what looks like ${findings.length === 1 ? 'a secret' : 'secrets'}, and nothing was sent:`,
        ...shown,
        ...more,
        'Remove them and import the image again, or allow what is none: --allow ID, or --allow @FILE with an ID a line.',
      ].join('\n'),
    );
    this.name = 'SecretsError';
    this.findings = findings;
  }
}

function placeOf({ path, offset }: Finding): string {
  const where = path === '' ? 'the disk' : path;
  return offset === undefined ? where : `${where}, at byte ${offset}`;
}
