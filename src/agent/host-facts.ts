import { readFile } from 'node:fs/promises';
import { cpus, release, totalmem } from 'node:os';
import type { DriverReport, HostFacts } from '../domain/host.ts';

/** Which computer this is, without what the agent itself decides. */
export async function machineFacts(): Promise<
  Pick<HostFacts, 'os' | 'osVersion' | 'arch' | 'cpus' | 'memoryBytes'>
> {
  return {
    os: process.platform === 'darwin' ? 'macos' : 'linux',
    osVersion: await osVersion(),
    arch: process.arch === 'arm64' ? 'arm64' : 'x64',
    cpus: cpus().length,
    memoryBytes: totalmem(),
  };
}

/** macOS: the product version. Linux: the distribution's, or else the kernel's. */
async function osVersion(): Promise<string> {
  if (process.platform === 'darwin') {
    const plist = '/System/Library/CoreServices/SystemVersion.plist';
    const text = await readFile(plist, 'utf8').catch(() => '');
    return /<key>ProductVersion<\/key>\s*<string>([^<]+)/.exec(text)?.[1] ?? release();
  }
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '');
  return /^VERSION_ID="?([^"\n]+)/m.exec(text)?.[1] ?? release();
}

interface Probed {
  readonly name: string;
  readonly rank: number;
}

/** Reports of all drivers of a family; one whose probe itself fails is reported unavailable. */
export function probeAll<Driver extends Probed>(
  drivers: Readonly<Record<string, Driver>>,
  probe: (driver: Driver) => Promise<DriverReport>,
): Promise<DriverReport[]> {
  return Promise.all(
    Object.values(drivers).map(async (driver) => {
      try {
        return await probe(driver);
      } catch (error) {
        const detail = (error as Error).message.slice(0, 4000);
        return { name: driver.name, rank: driver.rank, available: false, detail };
      }
    }),
  );
}
