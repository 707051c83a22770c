import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readJson, writeJson } from '../platform/atomic-file.ts';
import { Backoff } from '../platform/backoff.ts';
import type { Logger } from '../platform/logger.ts';
import { ControllerError, joinFleet } from './controller-client.ts';
import type { Controllers } from './controllers.ts';

/** What a host proves itself with. */
export interface Credential {
  readonly hostId: string;
  readonly fleet: string;
  readonly credential: string;
}

interface Joining {
  readonly dataDir: string;
  /** The host's name in the fleet. */
  readonly name: string;
  /** Gives a join token; asked only while the host has no credential. */
  readonly joinToken: () => Promise<string>;
  readonly log: Logger;
}

/** The one that the host has, or a new one for a join token. Throws when it is refused, or nobody answers. */
export async function obtainCredential(
  { dataDir, name, joinToken, log }: Joining,
  controllers: Controllers,
): Promise<Credential> {
  const path = join(dataDir, 'credential.json');
  const known = await readJson<Credential>(path);
  if (known !== undefined) return known;
  const token = (await joinToken()).trim();
  const backoff = new Backoff(100, 5_000);
  const patience = AbortSignal.timeout(60_000);
  for (;;) {
    try {
      const credential = await joinFleet(controllers.current, token, name);
      await writeJson(path, credential, { mode: 0o600, flush: true });
      return credential;
    } catch (error) {
      if (error instanceof ControllerError && !error.retryable) throw error;
      if (patience.aborted) throw error;
      controllers.failed(controllers.current);
      log.log('info', 'no controller to join yet; trying again', {
        url: controllers.current,
      });
      await backoff.wait(patience);
    }
  }
}

/** Reads a join token from a file, and says what to do when it cannot. */
export async function readJoinToken(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new Error(
      `the join token cannot be read from ${path}; make one with \`pomona token join --output ${path}\``,
      { cause },
    );
  }
}
