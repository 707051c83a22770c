import { readFile } from 'node:fs/promises';
import { isMissing } from '../../platform/atomic-file.ts';
import { tool } from '../../platform/tool.ts';

/** Addresses that macOS's DHCP server has for guests: those of 192.168.64.0/24 but its own and two more. */
const ADDRESSES = 253;
const DEFAULT_LEASE_SECONDS = 86_400;
/** Leases this short never run out: a guest lives longer than its address is kept. */
const SHORT_SECONDS = 1_200;
const LEASES = '/var/db/dhcpd_leases';
const SHARING = '/Library/Preferences/SystemConfiguration/com.apple.InternetSharing.default.plist';

export interface DhcpState {
  /** Addresses that were given out and are kept. */
  readonly leases: number;
  readonly leaseSeconds: number;
}

/** What the DHCP server of macOS has given to guests of its shared network. Undefined where there is none. */
export async function dhcpState(): Promise<DhcpState | undefined> {
  if (process.platform !== 'darwin') return undefined;
  const leases = await readFile(LEASES, 'utf8').catch((error: unknown) => {
    if (isMissing(error)) return '';
    throw error;
  });
  const { code, stdout } = await tool('defaults', ['read', SHARING, 'bootpd']);
  return {
    leases: leasesIn(leases),
    leaseSeconds: code === 0 ? leaseSecondsIn(stdout) : DEFAULT_LEASE_SECONDS,
  };
}

/** Blocks in braces, one for each address. */
export function leasesIn(text: string): number {
  return new Set([...text.matchAll(/^\s*ip_address=(\S+)/gm)].map(([, address]) => address)).size;
}

/** Of what `defaults read` prints of bootpd's settings. */
export function leaseSecondsIn(text: string): number {
  const seconds = /DHCPLeaseTimeSecs\s*=\s*"?(\d+)/.exec(text)?.[1];
  return seconds === undefined ? DEFAULT_LEASE_SECONDS : Number(seconds);
}

/** Undefined when addresses cannot run out; else what is the matter and what to do, for people. */
export function dhcpWarning({ leases, leaseSeconds }: DhcpState): string | undefined {
  if (leaseSeconds <= SHORT_SECONDS) return undefined;
  const hours = Math.round(leaseSeconds / 360) / 10;
  return (
    `macOS keeps the address of each guest for ${hours} h and has ${ADDRESSES}: ${leases} are taken, and more than ${ADDRESSES} guests in that time get none; ` +
    `have it keep them for ten minutes: sudo defaults write ${SHARING} bootpd -dict DHCPLeaseTimeSecs -int 600`
  );
}
