import { z } from 'zod';

/**
 * The path of an artifact, relative to the working directory of its job. Clients make files of that
 * name, so it stays below a directory and holds nothing that a terminal would obey.
 */
export const artifactPathSchema = z
  .string()
  .min(1)
  .max(1024)
  .refine(
    isInner,
    'expected a relative path without empty parts, ".", ".." and control characters',
  );

function isInner(path: string): boolean {
  // eslint-disable-next-line no-control-regex -- they are what is looked for
  if (/[\u0000-\u001f\u007f\\]/.test(path)) return false;
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}
