import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * Where Node keeps the compiled code of the program between runs: in a place that only its user
 * can write to, since what lies there is run. (Node's own choice is below the shared `/tmp`.)
 */
export function compileCacheDir(
  env: Readonly<Record<string, string | undefined>> = process.env,
  platform: string = process.platform,
  uid: number = process.getuid?.() ?? -1,
  home: string = homedir(),
): string {
  if (platform === 'darwin') {
    return join(uid === 0 ? '/' : home, 'Library', 'Caches', 'Pomona', 'code');
  }
  if (uid === 0) return '/var/cache/pomona/code';
  return join(env['XDG_CACHE_HOME'] || join(home, '.cache'), 'pomona', 'code');
}
