import { createHash } from 'node:crypto';
import { makeManifest } from '../copy/manifest.ts';
import { specToSexp } from '../spec/to-sexp.ts';
import type { Spec } from '../spec/spec.ts';
import { manifestHash } from './step-keys.ts';

const DIGITS = 16;

/**
 * One hint for the base and one for each step, in order, of a spec's outermost build. Equal hints
 * mean, in all likelihood, equal steps over equal steps; other than keys they need no base, no store
 * and no secret's value, so that who asks for a build can tell them. `contextDir` is what `copy`
 * reads. Throws `BuildError` for sources that are missing.
 */
export async function stepHints(
  spec: Spec,
  contextDir: string,
  signal: AbortSignal,
): Promise<string[]> {
  const hash = createHash('sha256').update('pomona-hint-1\0');
  const hints: string[] = [];
  const tell = () => hints.push(hash.copy().digest('hex').slice(0, DIGITS));
  // What is copied from nested builds is as they are.
  hash.update(specToSexp({ builds: spec.builds, from: spec.from, ops: [] }));
  tell();
  for (const op of spec.ops) {
    if (op.op === 'comment') continue;
    hash.update(specToSexp({ builds: [], from: '', ops: [op] }));
    if (op.op === 'copy' && op.from === undefined) {
      const { src, exclude } = op;
      hash.update(manifestHash(await makeManifest({ root: contextDir, src, exclude, signal })));
    }
    if (op.op === 'run' || op.op === 'copy') tell();
  }
  return hints;
}
