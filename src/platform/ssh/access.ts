/** How to get into a machine by SSH. Plain data: it is written to a file. */
export interface SshAccess {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** The private key that lets in. */
  readonly keyFile: string;
  /** The machine's own key is kept here when it is first seen, and has to be that from then on. */
  readonly knownHostsFile: string;
}

/** Seconds after which a connection that does not come about, or is silent, is given up. */
const CONNECT_SECONDS = 10;
const SILENT_SECONDS = 15;
const SILENCES = 4;

/** Arguments of OpenSSH's client: nothing of the user's own configuration counts, nothing is asked. */
export function sshArguments(
  access: SshAccess,
  command: string,
  { terminal = false } = {},
): string[] {
  const options = {
    BatchMode: 'yes',
    IdentitiesOnly: 'yes',
    IdentityAgent: 'none',
    PreferredAuthentications: 'publickey',
    StrictHostKeyChecking: 'accept-new',
    UserKnownHostsFile: quotedPath(access.knownHostsFile),
    GlobalKnownHostsFile: '/dev/null',
    ConnectTimeout: CONNECT_SECONDS,
    ServerAliveInterval: SILENT_SECONDS,
    ServerAliveCountMax: SILENCES,
    LogLevel: 'ERROR',
    EscapeChar: 'none',
    ForwardAgent: 'no',
    RequestTTY: terminal ? 'force' : 'no',
    UpdateHostKeys: 'no',
  };
  return [
    ...['-F', '/dev/null'],
    ...Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]),
    ...['-i', access.keyFile, '-p', String(access.port), '-l', access.user],
    ...[access.host, command],
  ];
}

/** Options of OpenSSH are words, unless quoted. */
function quotedPath(path: string): string {
  return /\s/.test(path) ? `"${path}"` : path;
}

/** A word for any shell. */
export function shellQuoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
