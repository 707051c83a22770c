import { z } from 'zod';
import { FetchError } from '../fetch.ts';

/** What of the OCI image format is read. Facts: the OCI image specification 1.1. */
const digestSchema = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'expected sha256:<hex>');
const descriptorSchema = z.object({
  mediaType: z.string(),
  digest: digestSchema,
  size: z.int().min(0),
  annotations: z.record(z.string(), z.string()).optional(),
  platform: z
    .object({ os: z.string(), architecture: z.string(), variant: z.string().optional() })
    .optional(),
});
export type Descriptor = z.output<typeof descriptorSchema>;

const indexSchema = z.object({ manifests: z.array(descriptorSchema) });
const manifestSchema = z.object({ config: descriptorSchema, layers: z.array(descriptorSchema) });
export type ImageManifest = z.output<typeof manifestSchema>;

const configSchema = z.object({
  os: z.string().optional(),
  architecture: z.string().optional(),
  config: z.object({ Env: z.array(z.string()).nullish() }).nullish(),
  rootfs: z.object({ diff_ids: z.array(digestSchema) }),
});
export type ImageConfig = z.output<typeof configSchema>;

/** Media types asked for and understood. */
export const MANIFEST_TYPES = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' };

/** Either the manifest of an image, or where that of this machine's platform is. */
export function readManifest(
  bytes: Uint8Array,
  what: string,
): { readonly manifest: ImageManifest } | { readonly next: Descriptor } {
  const value = parsed(bytes, what);
  const index = indexSchema.safeParse(value);
  if (index.success) return { next: forThisMachine(index.data.manifests, what) };
  const manifest = manifestSchema.safeParse(value);
  if (manifest.success) return { manifest: manifest.data };
  throw new FetchError('refused', `${what} is neither a manifest nor an index of the OCI format`);
}

/** The entries of a layout's index.json. */
export function readIndex(bytes: Uint8Array, what: string): readonly Descriptor[] {
  const index = indexSchema.safeParse(parsed(bytes, what));
  if (index.success) return index.data.manifests;
  throw new FetchError('refused', `${what} is no index of the OCI format`);
}

export function readConfig(bytes: Uint8Array, what: string): ImageConfig {
  const config = configSchema.safeParse(parsed(bytes, what));
  if (config.success) return config.data;
  throw new FetchError('refused', `${what} is no configuration of an OCI image`);
}

/** `NAME=value` lines as an object. */
export function environmentOf({ config }: ImageConfig): Record<string, string> {
  const lines = config?.Env ?? [];
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.indexOf('=');
      return at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + 1)];
    }),
  );
}

function forThisMachine(manifests: readonly Descriptor[], what: string): Descriptor {
  const architecture = ARCHITECTURES[process.arch] ?? process.arch;
  const found =
    manifests.find(
      ({ platform }) => platform?.os === 'linux' && platform.architecture === architecture,
    ) ??
    (manifests.length === 1 && manifests[0]?.platform === undefined ? manifests[0] : undefined);
  if (found !== undefined) return found;
  const there = manifests.map(({ platform }) => `${platform?.os}/${platform?.architecture}`);
  throw new FetchError(
    'refused',
    `${what} has nothing for linux/${architecture} (it has: ${there.join(', ')})`,
  );
}

function parsed(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (cause) {
    throw new FetchError('corrupt', `${what} is not JSON`, { cause });
  }
}
