import { randomBytes } from 'node:crypto';
import { shellQuoted, sshArguments, type SshAccess } from './access.ts';

export interface RemoteCommand {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Relative to the user's home, or absolute. It exists. */
  readonly workDir: string;
  /** Has the machine write the command's process group to this file, relative to the home. */
  readonly groupFile?: string;
}

/** How to start a program here that runs a command there; as `startCommand` takes it. */
export interface RemoteLaunch {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** To be written to file descriptor 3, after a line end. */
  readonly handed: string;
}

/**
 * Reads variables, as lines of shell, from standard input up to a line that ends them; the command
 * has the rest of it. So no variable is on a command line, here or there. The command's errors join
 * its output; the channel that they would take tells its exit code. sshd starts each command that has
 * no terminal as the leader of a process group.
 */
const REMOTE = `
exec 9>&2 2>&1
_pomona_end=$1 dir=$2 group=$3; shift 3
vars=
while IFS= read -r line && [ "$line" != "$_pomona_end" ]; do vars="$vars$line
"; done
_pomona_finish() { echo "$_pomona_end $1" >&9; exit "$1"; }
[ -z "$group" ] || echo $$ > "$group"
cd "$dir" || _pomona_finish 126
unset SSH_CLIENT SSH_CONNECTION
eval "$vars"
unset vars line dir group
trap : TERM INT HUP
"$@" 9>&-
_pomona_finish $?
`;

/** What a command that ended may leave open, its connection has no longer open than this. */
const DRAIN_SECONDS = 5;

/**
 * The variables go before what is on standard input. Without a word of how the command ended this
 * ends by \`LOST_SIGNAL\`.
 */
const LOCAL = `
trap : TERM
exec 4<&0 5>&1
end=$1; shift
{ cat <&3; exec 3<&-; cat <&4; } | ssh "$@" 2>&1 >&5 3<&- 4<&- 5>&- | {
  exec 3<&- 4<&- 5>&-
  code= watchdog=
  while IFS= read -r line; do
    case $line in
      "$end "*)
        code=\${line#"$end "}
        (sleep ${DRAIN_SECONDS}; kill -TERM 0) </dev/null >/dev/null 2>&1 & watchdog=$!
        trap '' TERM ;;
      *) printf '%s\\n' "$line" ;;
    esac
  done
  [ -z "$watchdog" ] || kill "$watchdog" 2>/dev/null
  [ -n "$code" ] || kill -USR1 $$
  exit "\${code:-255}"
}
`;

/** How a launch ends whose connection was lost before its command ended. */
export const LOST_SIGNAL = 'SIGUSR1';

/**
 * Runs a command of a machine and exits as it does, by its own code or by 128 and its signal. What
 * OpenSSH has to say comes with the command's output.
 */
export function remoteLaunch(access: SshAccess, command: RemoteCommand): RemoteLaunch {
  const end = `end-of-variables-${randomBytes(8).toString('hex')}`;
  const variables = Object.entries(command.env)
    .map(([name, value]) => `export ${name}=${shellQuoted(value)}\n`)
    .join('');
  const words = [end, command.workDir, command.groupFile ?? '', ...command.argv];
  const remote = `exec sh -c ${shellQuoted(REMOTE)} pomona ${words.map(shellQuoted).join(' ')}`;
  const { PATH = '/usr/bin:/bin' } = process.env;
  return {
    file: 'sh',
    args: ['-c', LOCAL, 'pomona', end, ...sshArguments(access, remote)],
    env: { PATH },
    cwd: '/',
    handed: `${variables}${end}\n`,
  };
}
