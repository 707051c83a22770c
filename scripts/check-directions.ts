/**
 * Checks which folder of `src` imports which, as docs/architecture says: exits 1 and names each
 * import that goes the wrong way.
 */
import { readFileSync } from 'node:fs';
import { glob } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';

/** Folders, and what each may import besides itself. The interface files of driver families are types for all. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  domain: [],
  protocol: ['domain'],
  platform: ['domain'],
  db: ['domain', 'platform'],
  drivers: ['domain', 'platform'],
  images: ['domain', 'platform'],
  agent: ['domain', 'platform', 'protocol', 'images'],
  builder: ['domain', 'platform', 'protocol'],
  controller: ['domain', 'platform', 'protocol', 'db'],
  simulation: ['domain', 'platform', 'protocol', 'db', 'agent', 'controller'],
};

/** They take drivers as values, and so know the families' interfaces. */
const TAKES_DRIVERS: ReadonlySet<string> = new Set(['agent', 'builder', 'controller', 'images']);

const FAMILY_INTERFACE = /^drivers\/(?:(\w+)\/\1|vm\/making)\.ts$/;

/** The imports of one file that its folder does not allow, as text. */
export function wrongImports(file: string, source: string): string[] {
  const [folder = ''] = file.split('/');
  const allowed = MAY_IMPORT[folder];
  if (allowed === undefined) return [];
  const wrong: string[] = [];
  for (const [, path = ''] of source.matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)) {
    const target = relative('.', join(dirname(file), path));
    const [into = ''] = target.split('/');
    const ownFamily = folder !== 'drivers' || into !== 'drivers' || family(target) === family(file);
    if (into === folder && ownFamily) continue;
    if (allowed.includes(into) || allowed.includes(target)) continue;
    if (TAKES_DRIVERS.has(folder) && FAMILY_INTERFACE.test(target)) continue;
    wrong.push(`src/${file} imports src/${target}`);
  }
  return wrong;
}

function family(path: string): string | undefined {
  return path.split('/')[1];
}

if (import.meta.main) {
  const wrong: string[] = [];
  for await (const file of glob('**/*.ts', { cwd: 'src' })) {
    if (file.endsWith('.test.ts')) continue;
    wrong.push(...wrongImports(file, readFileSync(join('src', file), 'utf8')));
  }
  for (const line of wrong) process.stderr.write(`${line}: that is the wrong direction\n`);
  process.exitCode = wrong.length === 0 ? 0 : 1;
}
