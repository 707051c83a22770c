import { hkdfSync, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import type { Queryable } from '../db/database.ts';
import { initSetting } from '../db/queries/settings.ts';
import { findSecret, saveSecret } from '../db/queries/secrets.ts';
import { openWithKey, sealWithKey } from '../platform/seal.ts';
import type { Context } from './context.ts';

/** Secrets of the fleet: written by people, used by jobs, never shown. Encrypted at rest. */
export class Secrets {
  readonly #context: Context;
  readonly #key: Buffer;

  constructor(context: Context, key: Buffer) {
    this.#context = context;
    this.#key = key;
  }

  async set(name: string, value: string): Promise<void> {
    await saveSecret(this.#context.db, {
      name,
      sealed: sealWithKey(this.#key, Buffer.from(value), name),
      updated_at: this.#context.clock.now(),
    });
  }

  /** Encrypts what is not a secret of its own; `about` has to be said again to open it. */
  seal(content: string, about: string): string {
    return sealWithKey(this.#key, Buffer.from(content), about);
  }

  open(sealed: string, about: string): string {
    return openWithKey(this.#key, sealed, about).toString('utf8');
  }

  /** Names among these that were never set. */
  async missing(names: readonly string[]): Promise<string[]> {
    const rows = await Promise.all(names.map((name) => findSecret(this.#context.db, name)));
    return names.filter((_, index) => rows[index] === undefined);
  }

  /** Values by name; a secret removed since the job was submitted is left out. */
  async valuesOf(names: readonly string[]): Promise<Record<string, string>> {
    const values: Record<string, string> = {};
    for (const name of names) {
      const row = await findSecret(this.#context.db, name);
      if (row !== undefined) {
        values[name] = openWithKey(this.#key, row.sealed, name).toString('utf8');
      }
    }
    return values;
  }
}

/**
 * Throws when what the database holds was encrypted with another key: secrets would be lost, and the
 * hosts of one controller would not trust those of another.
 */
export async function checkSecretsKey(db: Queryable, key: Buffer): Promise<void> {
  const print = Buffer.from(hkdfSync('sha256', key, '', 'pomona key check', 16)).toString('hex');
  if ((await initSetting(db, 'secrets-key', print)) === print) return;
  throw new Error(
    'the key of secrets is not the one that this database was used with; copy secrets.key from the other controller, and name it with `secretsKey` in pomona.yaml',
  );
}

/** Reads the 32-byte key that secrets are encrypted with, or makes it (mode 0600). */
export async function loadSecretsKey(path: string): Promise<Buffer> {
  try {
    await writeFile(path, randomBytes(32).toString('base64'), { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const key = Buffer.from(await readFile(path, 'utf8'), 'base64');
  if (key.length !== 32) {
    throw new Error(`${path} holds no 32-byte key in base64; restore it from a backup`);
  }
  return key;
}
