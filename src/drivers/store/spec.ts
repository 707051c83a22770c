import { isAbsolute } from 'node:path';
import { STORE_DRIVERS } from './drivers.ts';
import type { StoreDriver } from './store.ts';

/** Thrown for a text that names no store. */
export class StoreSpecError extends Error {
  readonly code = 'store_spec';
}

/** A store as people name it: `DRIVER:PLACE`, such as `btrfs:/builds`. */
export interface StoreSpec {
  readonly driver: StoreDriver;
  /** What the driver opens. */
  readonly root: string;
}

/** Throws `StoreSpecError`. */
export function parseStoreSpec(text: string): StoreSpec {
  const [, name = '', root = ''] = /^([a-z]+):(.*)$/s.exec(text) ?? [];
  const driver = STORE_DRIVERS[name];
  const names = Object.keys(STORE_DRIVERS).toSorted().join(', ');
  if (driver === undefined) {
    throw new StoreSpecError(`expected DRIVER:/directory with one of ${names}, not ${text}`);
  }
  if (!isAbsolute(root)) {
    throw new StoreSpecError(`expected ${name}:/directory, an absolute one, not ${text}`);
  }
  return { driver, root };
}
