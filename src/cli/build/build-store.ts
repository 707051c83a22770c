import { join } from 'node:path';
import { probeAll } from '../../agent/host-facts.ts';
import { STORE_DRIVERS } from '../../drivers/store/drivers.ts';
import { parseStoreSpec, StoreSpecError, type StoreSpec } from '../../drivers/store/spec.ts';
import { UsageError } from '../errors.ts';

/** The store that people name, or the one in `dir` whose clones cost least. Throws `UsageError`. */
export async function buildStore(text: string | undefined, dir: string): Promise<StoreSpec> {
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
