import { tool } from '../../platform/tool.ts';

/** The address that this host's neighbours' table has for a network card. */
export async function arpAddress(mac: string): Promise<string | undefined> {
  try {
    const { code, stdout } = await tool('arp', ['-an']);
    return code === 0 ? addressIn(stdout, mac) : undefined;
  } catch {
    // There is no such program everywhere, and it is one way of several.
    return undefined;
  }
}

/**
 * Lines are `? (10.211.55.3) at 0:1c:42:a:b:c on bridge100 ...`, with or without leading zeros; the last
 * of a card counts.
 */
export function addressIn(table: string, mac: string): string | undefined {
  const lines = [...table.matchAll(/\(([0-9.]+)\) at ([0-9a-f:]+) /gi)];
  return lines.findLast(([, , of]) => plain(of ?? '') === plain(mac))?.[1];
}

/** Twelve digits, however it was written. */
function plain(mac: string): string {
  const octets = mac.includes(':') ? mac.split(':').map((octet) => octet.padStart(2, '0')) : [mac];
  return octets.join('').toLowerCase();
}
