import { z } from 'zod';
import { NAME_PATTERN } from '../domain/ids.ts';

/** Schemas of the small values that several boundaries share. */

export const nameSchema = z
  .string()
  .regex(NAME_PATTERN, 'expected lower-case letters, digits, ".", "_" and "-", at most 63');

/** `NAME`, or `NAME:TAG`. */
export const imageNameSchema = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9._-]{0,62}(:[a-z0-9][a-z0-9._-]{0,62})?$/,
    'expected the name of an image, such as ocaml-5 or macos-15:2026-01',
  );

export const labelSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._=:/+-]{0,127}$/, 'expected a label such as macos-15 or team=web');

/** Also the name of an environment variable. */
export const envNameSchema = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'expected a name such as NPM_TOKEN');

/** Name of a user inside a virtual machine. */
export const guestUserSchema = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9._-]{0,31}$/, 'expected the name of a user, such as admin');

export const digestSchema = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'expected sha256:<64 hex>');

const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;
const DURATION_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds of a duration such as `90s`, `30m`, `1.5h`; undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  const match = DURATION.exec(text.trim());
  if (match === null) return undefined;
  return Math.round(Number(match[1]) * DURATION_MS[match[2] as keyof typeof DURATION_MS]);
}

const SIZE = /^(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)$/;
const SIZE_BYTES: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
};

/** Bytes of a size such as `512MiB`, `4 GB`; undefined when it is none. */
export function parseSize(text: string): number | undefined {
  const match = SIZE.exec(text.trim());
  if (match === null) return undefined;
  return Math.round(Number(match[1]) * (SIZE_BYTES[match[2] ?? ''] ?? Number.NaN));
}

/** A duration in text, transformed to milliseconds. */
export const durationSchema = z
  .string()
  .regex(DURATION, 'expected a duration such as 90s, 30m or 2h')
  .meta({ title: 'duration' })
  .transform((text) => parseDuration(text) ?? Number.NaN);

/** A volume as the API and the session have it. */
export const volumeUseSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,19}$/, 'expected up to 20 lower-case letters, digits and "-"'),
  path: z
    .string()
    .min(1)
    .max(1024)
    .refine((path) => !path.split('/').includes('..') && !path.includes('\0'), {
      message: 'expected a path without ..',
    }),
  mode: z.enum(['copies', 'exclusive']).default('copies'),
  sizeBytes: z
    .int()
    .min(2 ** 20)
    .default(64 * 2 ** 30),
});

/** A size in text, transformed to bytes. */
export const sizeSchema = z
  .string()
  .regex(SIZE, 'expected a size such as 512MiB or 4GiB')
  .meta({ title: 'size' })
  .transform((text) => parseSize(text) ?? Number.NaN);

export const limitsSchema = z.strictObject({
  cpus: z.number().positive().max(1024).exactOptional(),
  memoryBytes: z.int().positive().exactOptional(),
  openFiles: z.int().min(16).exactOptional(),
  processes: z.int().min(1).exactOptional(),
  logBytes: z.int().min(1024).exactOptional(),
});

export const imageRefSchema = z.strictObject({ name: imageNameSchema, digest: digestSchema });

/** What of a host's agent may be set for it from afar. */
export const hostSettingsSchema = z.strictObject({
  labels: z.array(labelSchema).max(256).readonly().exactOptional(),
  workers: z.int().min(0).max(10_000).exactOptional(),
  macosVms: z.int().min(0).max(10_000).exactOptional(),
});
