import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { lstat, mkdtemp, readFile, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import ignore, { type Ignore } from 'ignore';
import { create } from 'tar';
import { isMissing } from '../platform/atomic-file.ts';
import { removeTree } from '../platform/tree.ts';
import { UsageError } from './errors.ts';

export interface PackedSource {
  readonly file: string;
  readonly digest: string;
  readonly files: number;
  readonly bytes: number;
  remove(): Promise<void>;
}

/**
 * Packs a directory into a gzipped tar: what `.gitignore` files in it leave, without `.git`. Links
 * are packed as links. The same files give the same bytes. Throws `UsageError` when there is no
 * such directory.
 */
export async function packSource(directory: string): Promise<PackedSource> {
  const stats = await lstat(directory).catch((error: unknown) => {
    if (isMissing(error)) throw new UsageError(`--source ${directory}: there is no such directory`);
    throw error;
  });
  if (!stats.isDirectory()) throw new UsageError(`--source ${directory} is no directory`);
  const files = await sourceFiles(directory);
  const temporary = await mkdtemp(join(tmpdir(), 'pomona-source-'));
  const file = join(temporary, 'source.tgz');
  const remove = () => removeTree(temporary);
  try {
    const hash = createHash('sha256');
    let bytes = 0;
    const measure = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        hash.update(chunk);
        bytes += chunk.length;
        done(null, chunk);
      },
    });
    const options = {
      cwd: directory,
      gzip: { level: 3 },
      portable: true,
      mtime: new Date(0),
      noDirRecurse: true,
    };
    // A name that begins with "@" would be taken for an archive to include.
    const names = files.map((name) => `./${name}`);
    if (names.length === 0) names.push('.');
    await pipeline(create(options, names), measure, createWriteStream(file, { mode: 0o600 }));
    return { file, digest: `sha256:${hash.digest('hex')}`, files: files.length, bytes, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Paths below `root`, sorted, that no `.gitignore` on the way excludes. */
export async function sourceFiles(root: string): Promise<string[]> {
  const found: string[] = [];
  const visit = async (dir: string, rules: readonly { base: string; rule: Ignore }[]) => {
    const own = await readFile(join(dir, '.gitignore'), 'utf8').catch((error: unknown) => {
      if (isMissing(error)) return undefined;
      throw error;
    });
    const all = own === undefined ? rules : [...rules, { base: dir, rule: ignore().add(own) }];
    const entries = await readdir(dir, { withFileTypes: true });
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      if (entry.name === '.git') continue;
      const full = join(dir, entry.name);
      if (isIgnored(all, full, entry.isDirectory())) continue;
      if (entry.isDirectory()) await visit(full, all);
      else if (entry.isFile() || entry.isSymbolicLink()) found.push(relative(root, full));
    }
  };
  await visit(root, []);
  return found;
}

/** The innermost `.gitignore` that says anything about a path decides. */
function isIgnored(
  rules: readonly { base: string; rule: Ignore }[],
  path: string,
  isDirectory: boolean,
): boolean {
  for (const { base, rule } of rules.toReversed()) {
    const verdict = rule.test(relative(base, path) + (isDirectory ? '/' : ''));
    if (verdict.ignored) return true;
    if (verdict.unignored) return false;
  }
  return false;
}
