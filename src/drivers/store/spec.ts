import { STORE_DRIVERS } from './drivers.ts';
import { StoreError, type StoreDriver } from './store.ts';

/** Thrown for a text that names no store. */
export class StoreSpecError extends Error {
  readonly code = 'store_spec';
}

/** A store as people name it: `DRIVER:PLACE`, such as `btrfs:/builds` or `zfs:tank/builds`. */
export interface StoreSpec {
  readonly driver: StoreDriver;
  /** What the driver opens. */
  readonly root: string;
}

/** Throws `StoreSpecError`. */
export function parseStoreSpec(text: string): StoreSpec {
  const [, name = '', root = ''] = /^([a-z]+):(.*)$/s.exec(text) ?? [];
  const driver = STORE_DRIVERS[name];
  if (driver === undefined) {
    const forms = Object.values(STORE_DRIVERS).map((each) => `${each.name}:${each.form}`);
    throw new StoreSpecError(`expected one of ${forms.toSorted().join(', ')}, not ${text}`);
  }
  try {
    driver.dirOf(root);
  } catch (cause) {
    if (!(cause instanceof StoreError)) throw cause;
    throw new StoreSpecError(`${cause.message}, not ${text}`, { cause });
  }
  return { driver, root };
}
