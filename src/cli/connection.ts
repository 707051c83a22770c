import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing, readJson } from '../platform/atomic-file.ts';
import { defaultDataDir } from '../platform/data-dir.ts';

export interface Connection {
  readonly url: string;
  readonly token: string;
}

/** Thrown when no controller or no token can be found. */
export class ConnectionError extends Error {
  readonly code = 'connection';
}

/**
 * Where the controller is and with which token: from POMONA_URL, POMONA_TOKEN or
 * POMONA_TOKEN_FILE, else from the data directory of a controller on this machine.
 */
export async function findConnection(dataDir: string = defaultDataDir()): Promise<Connection> {
  const url = process.env['POMONA_URL'] || (await localUrl(dataDir));
  return { url, token: await findToken(dataDir) };
}

async function localUrl(dataDir: string): Promise<string> {
  const local = await readJson<{ url: string }>(join(dataDir, 'controller.json'));
  if (local !== undefined) return local.url;
  throw new ConnectionError(
    `no controller runs on ${dataDir}; start one with \`pomona up\`, or set POMONA_URL (or --data for another directory)`,
  );
}

async function findToken(dataDir: string): Promise<string> {
  const given = process.env['POMONA_TOKEN'];
  if (given !== undefined && given !== '') return given.trim();
  const path = process.env['POMONA_TOKEN_FILE'] || join(dataDir, 'admin.token');
  try {
    const { mode } = await stat(path);
    if ((mode & 0o077) !== 0) {
      process.stderr.write(`pomona: ${path} can be read by others; \`chmod 600 ${path}\`\n`);
    }
    return (await readFile(path, 'utf8')).trim();
  } catch (cause) {
    const why = isMissing(cause) ? 'does not exist' : 'cannot be read by this user';
    throw new ConnectionError(
      `the token file ${path} ${why}; set POMONA_TOKEN or POMONA_TOKEN_FILE`,
      {
        cause,
      },
    );
  }
}
