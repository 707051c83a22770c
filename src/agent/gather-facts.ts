import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostConsoles } from '../domain/console.ts';
import type { DriverReport, HostCapacity, HostFacts } from '../domain/host.ts';
import type { SandboxDriver } from '../drivers/sandbox/sandbox.ts';
import type { StoreDriver } from '../drivers/store/store.ts';
import type { VmDriverEntry } from '../drivers/vm/vm.ts';
import type { HostBuilder } from './builds/build-sandbox.ts';
import { machineFacts, probeAll } from './host-facts.ts';
import { Images } from './images.ts';

/** What an agent was started with that its host's facts are made of. */
interface FactSources {
  readonly dataDir: string;
  readonly labels: readonly string[];
  readonly capacity: HostCapacity;
  readonly stores: Readonly<Record<string, StoreDriver>>;
  readonly sandboxes: Readonly<Record<string, SandboxDriver>>;
  readonly vms: Readonly<Record<string, VmDriverEntry>>;
  readonly builds?: HostBuilder;
}

/** All that a host says of itself when its agent starts. */
export async function gatherFacts(options: FactSources): Promise<HostFacts> {
  const storeRoot = join(options.dataDir, 'stores');
  await mkdir(storeRoot, { recursive: true, mode: 0o711 });
  const [machine, sandboxes, stores, vms] = await Promise.all([
    machineFacts(),
    probeAll(options.sandboxes, (driver) => driver.probe()),
    probeAll(options.stores, (driver) => driver.probe(join(storeRoot, driver.name))),
    probeAll(options.vms, (driver) => driver.probe()),
  ]);
  const { labels, capacity } = options;
  const local = new Images(options.dataDir);
  const images = await local.list();
  const imageBytes = await local.bytesOf(images);
  const common = { ...machine, labels, capacity, sandboxes, stores, vms, images, imageBytes };
  return { ...common, ...buildsOf(options), consoles: consolesOf(options, vms) };
}

/** Into which workers people can look: into all but those that are pretended. */
function consolesOf(options: FactSources, vms: readonly DriverReport[]): HostConsoles {
  const real = vms.filter(({ available }) => available).map(({ name }) => name);
  const which = (has: (entry: VmDriverEntry) => boolean) =>
    real.filter((name) => {
      const entry = options.vms[name];
      return entry !== undefined && has(entry);
    });
  return {
    sandboxes: true,
    shells: which(({ consoles }) => consoles.includes('shell')),
    screens: which(({ consoles }) => consoles.includes('screen')),
  };
}

/** What it builds in, and what of builds it has. */
export function buildsOf({ builds }: Pick<FactSources, 'builds'>): Pick<HostFacts, 'builds'> {
  if (builds === undefined) return {};
  return { builds: { store: builds.driver, hints: builds.hints() } };
}
