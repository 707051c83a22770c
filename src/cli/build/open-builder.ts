import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { Builder } from '../../builder/builder.ts';
import { SANDBOX_DRIVERS } from '../../drivers/sandbox/drivers.ts';
import type { Sandbox, SandboxDriver } from '../../drivers/sandbox/sandbox.ts';
import type { Limits } from '../../domain/worker.ts';
import type { StoreSpec } from '../../drivers/store/spec.ts';
import { nearest } from '../../domain/nearest.ts';
import { LocalImages } from '../../images/local-images.ts';
import { systemClock } from '../../platform/clock.ts';
import { defaultDataDir } from '../../platform/data-dir.ts';
import { UsageError } from '../errors.ts';
import { basesOf } from './bases.ts';
import { buildStore } from './build-store.ts';
import { machinesOf } from './machines.ts';

export interface StoreOptions {
  readonly store?: string;
  readonly sandbox?: string;
  readonly data?: string;
}

export const STORE_HELP = `
--store is DRIVER:PLACE, such as btrfs:/builds or zfs:tank/builds; without it, of those that work in the data
directory, one whose clones cost least is taken. Any number of processes may use one store.`;

export function withStore(command: Command): Command {
  return command
    .option('--store <spec>', 'where results are kept: DRIVER:PLACE')
    .option('--data <dir>', 'data directory');
}

/** Where and how a builder builds. */
export interface BuilderPlace {
  readonly store: StoreSpec;
  readonly imagesDir: string;
  readonly contextDir: string;
  /** The data directory of this host's agent, whose virtual machines builds may use; absent: none. */
  readonly machinesDir?: string;
  /** Absent: the best that works. */
  readonly sandbox?: string | undefined;
  readonly limits: Limits;
  /** Bases may be any directories and files of this machine, not only those of the context. */
  readonly hostBases: boolean;
}

/** Calls `work` with a builder, and closes it after: at once when `signal` is aborted then. */
export async function withBuilder<T>(
  options: StoreOptions & { readonly contextDir?: string },
  signal: AbortSignal,
  work: (builder: Builder, storeText: string) => Promise<T>,
): Promise<T> {
  const dataDir = resolve(options.data ?? defaultDataDir());
  if (options.sandbox !== undefined) knownSandbox(options.sandbox);
  const store = await buildStore(options.store, join(dataDir, 'builds'));
  const place = {
    ...{ store, limits: {}, hostBases: true, sandbox: options.sandbox },
    machinesDir: join(dataDir, 'agent'),
    imagesDir: join(dataDir, 'agent', 'images'),
    contextDir: resolve(options.contextDir ?? '.'),
  };
  return useBuilder(place, signal, (builder) =>
    work(builder, `${store.driver.name}:${store.root}`),
  );
}

/** The same, in a place that is told in full. */
export async function useBuilder<T>(
  place: BuilderPlace,
  signal: AbortSignal,
  work: (builder: Builder) => Promise<T>,
): Promise<T> {
  const { driver, root } = place.store;
  let sandbox: Promise<Sandbox> | undefined;
  const dir = driver.dirOf(root);
  await mkdir(dir, { recursive: true, mode: 0o711 });
  const builder = await Builder.open({
    store: driver.open(root),
    // Trying sandboxes takes a while, which a build with nothing to run does not need.
    sandbox: () => (sandbox ??= openSandbox(place.sandbox)),
    bases: basesOf({
      contextDir: place.contextDir,
      cacheDir: join(dir, 'fetched'),
      images: new LocalImages(place.imagesDir),
      hostBases: place.hostBases,
    }),
    ...(place.machinesDir === undefined ? {} : { machines: machinesOf(place.machinesDir) }),
    stateDir: stateDirOf(place.store),
    limits: place.limits,
    clock: systemClock,
  });
  try {
    return await work(builder);
  } finally {
    await builder.close(signal);
  }
}

/** Where a store's index and logs are. */
export function stateDirOf({ driver, root }: StoreSpec): string {
  return join(driver.dirOf(root), 'state');
}

function knownSandbox(name: string): SandboxDriver {
  const driver = SANDBOX_DRIVERS[name];
  if (driver !== undefined) return driver;
  const names = Object.keys(SANDBOX_DRIVERS);
  const near = nearest(name, names);
  const hint = near === undefined ? '' : `; did you mean ${near}?`;
  throw new UsageError(`there is no sandbox ${name}${hint} (there are: ${names.join(', ')})`);
}

/** The sandbox of that name, or the best that works. */
async function openSandbox(name: string | undefined): Promise<Sandbox> {
  if (name !== undefined) {
    const driver = knownSandbox(name);
    const report = await driver.probe();
    if (report.available) return driver.open();
    throw new UsageError(`sandbox ${name} does not work here: ${report.detail}`);
  }
  const byRank = Object.values(SANDBOX_DRIVERS).toSorted((a, b) => b.rank - a.rank);
  for (const driver of byRank) if ((await driver.probe()).available) return driver.open();
  throw new UsageError('no sandbox works here; `pomona doctor` says why');
}
