import { fileURLToPath } from 'node:url';

/**
 * File and arguments that start another program of Pomona, such as `cli/keep`, on the same Node:
 * its TypeScript in a checkout, the compiled JavaScript where Pomona is installed.
 */
export function entryPoint(name: string): { file: string; args: string[] } {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const path = fileURLToPath(new URL(`../${name}.${extension}`, import.meta.url));
  return { file: process.execPath, args: ['--disable-warning=ExperimentalWarning', path] };
}
