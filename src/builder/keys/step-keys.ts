import { createHmac } from 'node:crypto';
import type { ManifestEntry } from '../copy/manifest.ts';
import type { CopyOp, FinalizeOp, ManualOp, RunOp } from '../spec/spec.ts';
import { joined, type StepContext } from '../step-context.ts';
import { canonicalHash, type Canonical } from './canonical.ts';

/**
 * The keys of steps, version 1; docs/reference/build-keys.md has the recipe and test vectors. A
 * change of the recipe takes new first words, so that no key of one is a key of another.
 */
const BASE = 'pomona-base-1';
const RUN = 'pomona-run-1';
const COPY = 'pomona-copy-1';
const MANUAL = 'pomona-manual-1';
const FINALIZE = 'pomona-finalize-1';
const MANIFEST = 'pomona-manifest-1';

/** A base by the digest of its content: its name does not count. */
export function baseKey(digest: string): string {
  return canonicalHash([BASE, digest]);
}

/** `secretTags`: of each secret of the step, in its order, as `secretTag` makes them. */
export function runKey(
  parent: string,
  context: StepContext,
  op: RunOp,
  secretTags: readonly string[],
): string {
  return canonicalHash([
    RUN,
    parent,
    context.workdir,
    userPart(context),
    context.env.toSorted(byName).map(([name, value]) => [name, value]),
    context.shell,
    op.shell,
    op.network.includes('host') ? 'host' : 'none',
    op.secrets.map(({ target }, index) => [target, secretTags[index] ?? '']),
  ]);
}

export function manualKey(parent: string, { text, check }: ManualOp): string {
  return canonicalHash([MANUAL, parent, text, check ?? '']);
}

export function finalizeKey(parent: string, { paths }: FinalizeOp): string {
  return canonicalHash([FINALIZE, parent, paths]);
}

/** `manifest`: of the sources, by `manifestHash`. */
export function copyKey(
  parent: string,
  context: StepContext,
  op: CopyOp,
  manifest: string,
): string {
  const kind = op.dst.endsWith('/') ? 'into' : 'as';
  return canonicalHash([
    COPY,
    parent,
    userPart(context),
    kind,
    joined(context.workdir, op.dst),
    manifest,
  ]);
}

/** Of paths, content, executable bits and links' targets; neither of owners nor of times. */
export function manifestHash(entries: readonly ManifestEntry[]): string {
  return canonicalHash([MANIFEST, ...entries.map(entryPart)]);
}

/** What stands for a secret's value in keys: nobody without the store's key can guess it. */
export function secretTag(storeKey: Uint8Array, value: Uint8Array): string {
  return createHmac('sha256', storeKey).update(value).digest('hex');
}

function userPart({ user }: StepContext): Canonical {
  return 'name' in user ? ['name', user.name] : ['ids', String(user.uid), String(user.gid)];
}

function entryPart(entry: ManifestEntry): Canonical {
  switch (entry.kind) {
    case 'file': {
      const kind = (entry.stats.mode & 0o111) === 0 ? 'file' : 'program';
      return [kind, entry.path, entry.sha256];
    }
    case 'link':
      return ['link', entry.path, entry.target];
    case 'directory':
      return ['directory', entry.path, entry.entries.map(entryPart)];
  }
}

function byName([left]: readonly [string, string], [right]: readonly [string, string]): number {
  return Buffer.from(left).compare(Buffer.from(right));
}
