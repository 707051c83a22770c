import { stat } from 'node:fs/promises';
import type { Manifest } from './format/manifest.ts';
import { below } from './paths.ts';

/** Smaller files are simply read again. */
const LARGE = 2 ** 20;

/** How large files look, by the hex of their paths: device, inode, size and times. */
export type Signatures = Readonly<Record<string, string>>;

export async function signaturesOf(root: string, manifest: Manifest): Promise<Signatures> {
  const signatures: Record<string, string> = {};
  for (const entry of manifest.entries) {
    if (entry.type !== 'file' || entry.size < LARGE) continue;
    signatures[entry.path.toString('hex')] = await signatureOf(below(root, entry.path));
  }
  return signatures;
}

/** Any write to the file changes it; so its content need not be read to be trusted. */
export async function signatureOf(path: Buffer): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
  return [dev, ino, size, mtimeNs, ctimeNs].join(':');
}
