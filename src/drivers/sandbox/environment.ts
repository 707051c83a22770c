import { access, constants, lstat, readFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { resolveTarget } from './mount-points.ts';
import type { SandboxCommand, SandboxSpec } from './sandbox.ts';

/** Environment variable by which processes of a worker are known. */
export const WORKER_VARIABLE = 'POMONA_WORKER';

const ROOT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const LARGEST_PASSWD = 2 ** 20;

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

/** The environment of a command in a root file system: its own, and what no command is without. */
export async function rootEnvironment(
  rootDir: string,
  spec: SandboxSpec,
  command: SandboxCommand,
): Promise<Record<string, string>> {
  return {
    PATH: ROOT_PATH,
    HOME: await homeInside(rootDir, spec.user?.uid ?? 0),
    ...command.env,
  };
}

/** The home of a user by the root's own list of users; `/` where that does not know. */
async function homeInside(rootDir: string, uid: number): Promise<string> {
  const shown = [{ inside: '/', dir: rootDir }];
  const passwd = join(rootDir, await resolveTarget(shown, '/etc/passwd'));
  const kind = await lstat(passwd).catch(() => undefined);
  if (kind?.isFile() !== true || kind.size > LARGEST_PASSWD) return '/';
  for (const line of (await readFile(passwd, 'utf8')).split('\n')) {
    const fields = line.split(':');
    if (fields[2] === String(uid) && fields[5]?.startsWith('/') === true) return fields[5];
  }
  return '/';
}

/** Where the agent finds programs, which is where jobs look for them too. */
export function agentPath(): string {
  return process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin';
}

/**
 * The environment that a sandbox's own program starts with. A job's variables are not in it: some
 * (LD_PRELOAD) would rule that program outside of the sandbox.
 */
export function launcherEnvironment(spec: SandboxSpec): Record<string, string> {
  return { PATH: agentPath(), LANG: 'C.UTF-8', [WORKER_VARIABLE]: spec.name };
}

/** Where on the agent's PATH a program is; undefined when it is nowhere. */
export async function findProgram(name: string): Promise<string | undefined> {
  for (const dir of agentPath().split(delimiter)) {
    if (!dir.startsWith('/')) continue;
    const path = join(dir, name);
    if (
      await access(path, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return path;
  }
  return undefined;
}
