import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { probeAll } from '../../agent/host-facts.ts';
import { Builder } from '../../builder/builder.ts';
import { SANDBOX_DRIVERS } from '../../drivers/sandbox/drivers.ts';
import type { Sandbox, SandboxDriver } from '../../drivers/sandbox/sandbox.ts';
import { STORE_DRIVERS } from '../../drivers/store/drivers.ts';
import { parseStoreSpec, StoreSpecError, type StoreSpec } from '../../drivers/store/spec.ts';
import { nearest } from '../../domain/nearest.ts';
import { LocalImages } from '../../images/local-images.ts';
import { systemClock } from '../../platform/clock.ts';
import { defaultDataDir } from '../../platform/data-dir.ts';
import { UsageError } from '../errors.ts';
import { basesOf } from './bases.ts';

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

/** Calls `work` with a builder, and closes it after: at once when `signal` is aborted then. */
export async function withBuilder<T>(
  options: StoreOptions & { readonly contextDir?: string },
  signal: AbortSignal,
  work: (builder: Builder, storeText: string) => Promise<T>,
): Promise<T> {
  const dataDir = resolve(options.data ?? defaultDataDir());
  const { driver, root } = await storeFor(options.store, dataDir);
  if (options.sandbox !== undefined) knownSandbox(options.sandbox);
  let sandbox: Promise<Sandbox> | undefined;
  const dir = driver.dirOf(root);
  await mkdir(dir, { recursive: true, mode: 0o711 });
  const builder = await Builder.open({
    store: driver.open(root),
    // Trying sandboxes takes a while, which a build with nothing to run does not need.
    sandbox: () => (sandbox ??= openSandbox(options.sandbox)),
    bases: basesOf({
      contextDir: resolve(options.contextDir ?? '.'),
      cacheDir: join(dir, 'fetched'),
      images: new LocalImages(join(dataDir, 'agent', 'images')),
    }),
    stateDir: join(dir, 'state'),
    limits: {},
    clock: systemClock,
  });
  try {
    return await work(builder, `${driver.name}:${root}`);
  } finally {
    await builder.close(signal);
  }
}

async function storeFor(text: string | undefined, dataDir: string): Promise<StoreSpec> {
  const dir = join(dataDir, 'builds');
  if (text !== undefined) {
    try {
      return parseStoreSpec(text);
    } catch (cause) {
      if (cause instanceof StoreSpecError)
        throw new UsageError(`--store: ${cause.message}`, { cause });
      throw cause;
    }
  }
  const reports = await probeAll(STORE_DRIVERS, (driver) => driver.probe(join(dir, 'probe')));
  const [best] = reports
    .filter(({ available }) => available)
    .toSorted((a, b) => costOf(a.name) - costOf(b.name) || b.rank - a.rank);
  const driver = STORE_DRIVERS[best?.name ?? ''];
  if (best === undefined || driver === undefined) {
    const why = reports.map(({ name, detail }) => `${name}: ${detail}`).join('; ');
    throw new UsageError(`no store works in ${dir}: ${why}`);
  }
  return { driver, root: join(dir, best.name) };
}

/** Each step is a clone of the one before: what that costs is what counts. */
function costOf(name: string): number {
  const { cloning } = STORE_DRIVERS[name]?.open('/').capabilities ?? { cloning: 'copy' };
  return { snapshot: 0, reflink: 1, copy: 2 }[cloning];
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
