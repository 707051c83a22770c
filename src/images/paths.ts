const SLASH = Buffer.from('/');

/** The place of an entry below the image's root; the root itself for an empty path. */
export function below(root: string | Buffer, path: Buffer): Buffer {
  const base = Buffer.from(root);
  return path.length === 0 ? base : Buffer.concat([base, SLASH, path]);
}

export function child(dir: Buffer, name: Buffer): Buffer {
  return dir.length === 0 ? name : Buffer.concat([dir, SLASH, name]);
}
