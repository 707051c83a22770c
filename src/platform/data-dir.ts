import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where Pomona keeps its data when nothing says otherwise. Pure over what the machine shows. */
export function defaultDataDir(
  env: Readonly<Record<string, string | undefined>> = process.env,
  platform: string = process.platform,
  uid: number = process.getuid?.() ?? -1,
  home: string = homedir(),
): string {
  if (env['POMONA_DATA'] !== undefined && env['POMONA_DATA'] !== '') return env['POMONA_DATA'];
  if (platform === 'darwin') {
    const library = '/Library/Application Support/Pomona';
    return uid === 0 ? library : join(home, library);
  }
  if (uid === 0) return '/var/lib/pomona';
  return join(env['XDG_DATA_HOME'] || join(home, '.local', 'share'), 'pomona');
}
