import { directoryDriver } from './directory.ts';
import { ociLayoutDriver } from './oci/layout.ts';
import { registryDriver } from './oci/registry.ts';
import type { FetchDriver } from './fetch.ts';

/** Every fetcher there is, in the order in which they are asked. */
export const FETCH_DRIVERS: readonly FetchDriver[] = [
  directoryDriver,
  ociLayoutDriver,
  registryDriver,
];
