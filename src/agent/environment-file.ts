import { isAbsolute } from 'node:path';
import { z } from 'zod';
import type { SandboxSpec } from '../drivers/sandbox/sandbox.ts';
import { readJson } from '../platform/atomic-file.ts';
import { limitsSchema } from '../protocol/values.ts';

const path = z.string().refine(isAbsolute, 'expected an absolute path');
const home = { homeDir: path, prefixDir: path, prefixPath: path };
const id = z.int().min(0);

const environmentSchema = z.strictObject({
  name: z.string(),
  files: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('home'), ...home }),
    z.strictObject({ kind: z.literal('root'), rootDir: path }),
  ]),
  tmpDir: path,
  mounts: z.array(z.strictObject({ source: path, target: path, readOnly: z.boolean() })),
  network: z.enum(['host', 'none']),
  user: z.strictObject({ uid: id, gid: id }).optional(),
  limits: limitsSchema,
  fastSync: z.boolean().exactOptional(),
});

/** As version 0.1 wrote it: such workers may still be there after an upgrade. */
const earlierSchema = z
  .strictObject({ name: z.string(), ...home, tmpDir: path, limits: limitsSchema })
  .transform(({ name, tmpDir, limits, ...files }): SandboxSpec => ({
    name,
    files: { kind: 'home', ...files },
    tmpDir,
    mounts: [],
    network: 'host',
    user: undefined,
    limits,
  }));

/** The spec in environment.json; undefined when there is none. Throws for what is not a spec. */
export async function readEnvironment(file: string): Promise<SandboxSpec | undefined> {
  const content = await readJson<unknown>(file);
  if (content === undefined) return undefined;
  const earlier = typeof content === 'object' && content !== null && 'homeDir' in content;
  const parsed = (earlier ? earlierSchema : environmentSchema).safeParse(content);
  if (parsed.success) return { ...parsed.data, user: parsed.data.user };
  throw new Error(`${file} does not hold a worker's environment: ${z.prettifyError(parsed.error)}`);
}
