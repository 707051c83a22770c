import type { SshAccess } from '../../platform/ssh/access.ts';
import { SshGuest } from './ssh-guest.ts';

const LONGEST = 63;

/**
 * Gives a guest a host name of its own: NAME. Where its user may not, it keeps that of its image, by which
 * nothing of Pomona knows it.
 */
export const NAME_GUEST = `
[ "$(hostname -s)" != "$1" ] || exit 0
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
if [ "$(uname -s)" = Darwin ]; then
  for what in HostName LocalHostName ComputerName; do as_root scutil --set "$what" "$1" || exit; done
elif command -v hostnamectl >/dev/null; then as_root hostnamectl hostname "$1"
else as_root hostname "$1"; fi
`;

export async function nameGuest(
  access: SshAccess,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const argv = ['sh', '-c', NAME_GUEST, 'pomona', hostNameOf(name)];
  await new SshGuest(access).look(signal, argv);
}

/** Of a VM's name, what host names may have: its end, which tells it from others. */
export function hostNameOf(name: string): string {
  return name
    .replaceAll(/[^a-z0-9-]/gi, '-')
    .slice(-LONGEST)
    .replace(/^-+/, '');
}
