import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SandboxError, type SandboxCommand, type SandboxSpec } from '../sandbox.ts';
import { quoted } from '../wrapper.ts';

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

export interface Start {
  /** Below what the profile of the home sets. */
  readonly before: Readonly<Record<string, string>>;
  /** Above it. */
  readonly after: Readonly<Record<string, string>>;
  readonly dir: string;
  readonly owner: { readonly uid: number; readonly gid: number };
}

/**
 * Writes the shell file that a command starts by, for the user's eyes only, and returns its path.
 * It removes itself, sources `~/.obuilder_profile.sh` where there is one, then sets variables,
 * working directory and limits: so no value is on a command line.
 */
export async function writeStartFile(
  spec: SandboxSpec,
  command: SandboxCommand,
  { before, after, dir, owner }: Start,
): Promise<string> {
  const { openFiles, processes } = spec.limits;
  const lines = [
    'rm -f -- "$0"',
    ...exportsOf(before),
    'TMPDIR="$(getconf DARWIN_USER_TEMP_DIR)" && export TMPDIR || exit 125',
    'if [ -f ~/.obuilder_profile.sh ]; then . ~/.obuilder_profile.sh || exit 125; fi',
    ...exportsOf({ ...after, ...command.env }),
    `mkdir -p -- ${quoted(dir)} && cd -- ${quoted(dir)} || exit 125`,
    ...(openFiles === undefined ? [] : [`ulimit -n ${openFiles} || exit 125`]),
    ...(processes === undefined ? [] : [`ulimit -u ${processes} || exit 125`]),
    // Asked to end, the shell stays until the command has.
    'trap : TERM',
  ];
  const folder = join(spec.tmpDir, 'start');
  await mkdir(folder, { recursive: true });
  await chown(folder, owner.uid, owner.gid);
  await chmod(folder, 0o700);
  const path = join(folder, randomBytes(8).toString('hex'));
  await writeFile(path, `${lines.join('\n')}\n`, { mode: 0o400, flag: 'wx' });
  await chown(path, owner.uid, owner.gid);
  return path;
}

function exportsOf(variables: Readonly<Record<string, string>>): string[] {
  return Object.entries(variables).map(([name, value]) => {
    if (NAME.test(name)) return `export ${name}=${quoted(value)}`;
    throw new SandboxError(
      'bad_command',
      `a shell cannot set the variable ${JSON.stringify(name)}: letters, digits and _ only`,
    );
  });
}
