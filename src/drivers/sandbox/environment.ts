import { join } from 'node:path';
import type { SandboxCommand, SandboxSpec } from './sandbox.ts';

/** Environment variable by which processes of a worker are known. */
export const WORKER_VARIABLE = 'POMONA_WORKER';

/**
 * The environment of a command: the worker's own and on top of it the job's. Nothing of the agent's
 * environment but its PATH comes in. The worker's mark cannot be replaced.
 */
export function commandEnvironment(
  spec: SandboxSpec,
  command: SandboxCommand,
  seen: { home: string; prefix: string; tmp: string; user: string; path?: string },
): Record<string, string> {
  const path = seen.path ?? agentPath();
  return {
    HOME: seen.home,
    USER: seen.user,
    LOGNAME: seen.user,
    SHELL: '/bin/sh',
    PATH: `${join(seen.prefix, 'bin')}:${path}`,
    TMPDIR: seen.tmp,
    LANG: 'C.UTF-8',
    CI: 'true',
    POMONA_PREFIX: seen.prefix,
    ...command.env,
    [WORKER_VARIABLE]: spec.name,
  };
}

/** Where the agent finds programs, which is where jobs look for them too. */
export function agentPath(): string {
  return process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin';
}
