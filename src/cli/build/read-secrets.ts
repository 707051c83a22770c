import { readFile } from 'node:fs/promises';
import { UsageError } from '../errors.ts';

/** `ID=FILE`, each file read whole. */
export async function readSecrets(given: readonly string[]): Promise<Map<string, Buffer>> {
  const secrets = new Map<string, Buffer>();
  for (const each of given) {
    const at = each.indexOf('=');
    if (at < 1) throw new UsageError(`--secret expects ID=FILE, not ${each}`);
    const [id, file] = [each.slice(0, at), each.slice(at + 1)];
    try {
      secrets.set(id, await readFile(file));
    } catch (cause) {
      throw new UsageError(`secret ${id}: ${file} cannot be read`, { cause });
    }
  }
  return secrets;
}
