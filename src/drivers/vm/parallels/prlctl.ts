import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { limiter } from '../../../platform/limiter.ts';
import { tool, type Ended } from '../../../platform/tool.ts';
import { arpAddress } from '../arp.ts';
import { VmError } from '../vm.ts';

/** Sessions that a guest's tools allow at once. */
const EXECS = 2;
/** A stop, and a registration of a large bundle, take their time. */
const SLOW_MS = 120_000;
const LEASES = '/Library/Preferences/Parallels/parallels_dhcp_leases';

/** Of `prlctl list -a -i -j`, what counts here. States that are not known are kept as they are. */
const vmSchema = z.object({
  ID: z.string().transform(withoutBraces),
  Name: z.string(),
  State: z.string(),
  OS: z.string().default(''),
  Home: z.string().default(''),
  'Home path': z.string().default(''),
  Hardware: z.object({ net0: z.object({ mac: z.string() }).optional() }).optional(),
  Network: z
    .object({ ipAddresses: z.array(z.object({ type: z.string(), ip: z.string() })).default([]) })
    .optional(),
});
export type ParallelsVm = z.output<typeof vmSchema>;

/** Parallels Desktop's command line, of the Pro or Business edition. */
export class Prlctl {
  readonly #execs = limiter(EXECS);

  /** Runs it to its end, whatever the end is. */
  try(...args: string[]): Promise<Ended> {
    return tool('prlctl', args, { timeoutMs: SLOW_MS });
  }

  /** Runs what must succeed. Throws `VmError`. */
  async run(...args: string[]): Promise<string> {
    const { code, stdout, why } = await this.try(...args);
    if (code === 0) return stdout;
    const said = why || stdout.trim();
    throw new VmError(
      'tool_failed',
      `prlctl ${args.join(' ')} failed (exit code ${code}): ${said}`,
    );
  }

  /** Asks a guest to shut down and waits for it, so long at most. */
  async shutDown(id: string, graceMs: number): Promise<void> {
    await tool('prlctl', ['stop', id], { timeoutMs: graceMs });
  }

  async list(): Promise<ParallelsVm[]> {
    const { code, stdout, why } = await this.try('list', '-a', '-i', '-j');
    if (code !== 0) throw new VmError('tool_failed', `prlctl list failed: ${why}`);
    return z.array(vmSchema).parse(JSON.parse(stdout.trim() || '[]'));
  }

  /** One machine; listing all leaves out where each is. */
  async find(id: string): Promise<ParallelsVm | undefined> {
    const { code, stdout } = await this.try('list', '-a', '-i', '-j', id);
    if (code !== 0) return undefined;
    return z.array(vmSchema).parse(JSON.parse(stdout.trim() || '[]'))[0];
  }

  /** Runs a line of shell in a guest, by its tools, as the user who is logged in. */
  inGuest(id: string, script: string): Promise<Ended> {
    return this.#execs(() => this.try('exec', id, script, '--current-user'));
  }
}

/** A guest's address: from its tools, from the leases that Parallels gave out, or from the host's ARP. */
export async function addressOf(vm: ParallelsVm, leasesFile = LEASES): Promise<string | undefined> {
  const told = vm.Network?.ipAddresses.find(({ type }) => type === 'ipv4')?.ip;
  const mac = vm.Hardware?.net0?.mac.replaceAll(':', '').toLowerCase();
  if (told !== undefined || mac === undefined) return told;
  const leases = await readFile(leasesFile, 'utf8').catch(() => '');
  return leaseOf(mac, leases) ?? arpAddress(mac);
}

/** Lines of leases are `ip="expiry,lease,mac,duid"`; the last of a machine counts. */
export function leaseOf(mac: string, leases: string): string | undefined {
  const mine = [...leases.matchAll(/^([0-9.]+)="\d+,\d+,([0-9a-f]+),/gim)];
  return mine.findLast(([, , of]) => of?.toLowerCase() === mac)?.[1];
}

function withoutBraces(id: string): string {
  return id.replace(/^\{|\}$/g, '');
}

/** Whether Parallels refused a start for the limit of the system on macOS guests. */
export function isSlotLimit(said: string): boolean {
  return /VZErrorDomain[^\n]*Code=6\b|maximum supported number of active virtual machines/i.test(
    said,
  );
}
