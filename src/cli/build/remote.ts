import { randomUUID } from 'node:crypto';
import { basename } from 'node:path';
import { stepHints } from '../../builder/keys/hints.ts';
import { STORE_DRIVERS } from '../../drivers/store/drivers.ts';
import { envNameSchema } from '../../protocol/values.ts';
import { attend, sendSource } from '../attend-job.ts';
import { UsageError } from '../errors.ts';
import { clientFor } from '../options.ts';
import { readSpec } from './read-spec.ts';

export interface RemoteBuildOptions {
  readonly store?: string;
  readonly data?: string;
  readonly pool?: string;
  readonly label: readonly string[];
  readonly secret: readonly string[];
  readonly timeout?: number;
  readonly cache: boolean;
  readonly untrusted?: boolean;
  readonly json?: boolean;
}

/** Builds on a host of the fleet, as a job. Ends as `pomona build` does here. */
export async function buildRemotely(
  file: string,
  contextDir: string,
  options: RemoteBuildOptions,
): Promise<void> {
  const { store, pool, timeout } = options;
  if (store !== undefined && STORE_DRIVERS[store] === undefined) {
    const names = Object.keys(STORE_DRIVERS).join(', ');
    throw new UsageError(
      `with --remote, --store is the kind of store that the host has (${names}), not ${store}`,
    );
  }
  const secrets = secretNames(options.secret);
  const { spec, text } = await readSpec(file);
  const hints = await stepHints(spec, contextDir, new AbortController().signal);
  const client = await clientFor(options);
  const source = await sendSource(client, contextDir);
  const title = `build ${file === '-' ? 'standard input' : basename(file)}`;
  const job = await client.call('submitJob', {
    idempotencyKey: randomUUID(),
    patient: true,
    body: {
      command: ['pomona', 'build', file],
      ...{ env: {}, artifacts: [], priority: 0, labels: [...options.label], title, source },
      secrets: [...new Set(Object.values(secrets))],
      ...(pool === undefined ? {} : { pool }),
      ...(timeout === undefined ? {} : { timeoutMs: timeout }),
      build: {
        ...{ spec: text, file: title.slice('build '.length), secrets, hints },
        noCache: !options.cache,
        untrusted: options.untrusted === true,
        format: options.json === true ? 'json' : 'plain',
        ...(store === undefined ? {} : { store }),
      },
    },
  });
  process.stderr.write(`pomona: building as job ${job.id}\n`);
  await attend(client, job, { log: process.stdout, printJob: false });
}

/** `ID` or `ID=NAME`: values stay with the fleet. */
function secretNames(given: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    given.map((each) => {
      const [id = '', name = id] = each.split(/=(.*)/s, 2);
      if (id !== '' && envNameSchema.safeParse(name).success) return [id, name];
      throw new UsageError(
        `with --remote, --secret expects ID=NAME, a secret of the fleet (\`pomona secret set NAME\`), not ${each}`,
      );
    }),
  );
}
