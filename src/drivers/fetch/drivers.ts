import { dockerExportDriver, podmanExportDriver } from './container-export.ts';
import { directoryDriver } from './directory.ts';
import { ociLayoutDriver } from './oci/layout.ts';
import { registryDriver } from './oci/registry.ts';
import { tarballDriver } from './tar/tarball.ts';
import { userHomeDriver } from './user-home.ts';
import type { FetchDriver } from './fetch.ts';

/** Every fetcher there is, in the order in which they are asked. */
export const FETCH_DRIVERS: readonly FetchDriver[] = [
  tarballDriver,
  directoryDriver,
  ociLayoutDriver,
  userHomeDriver,
  dockerExportDriver,
  podmanExportDriver,
  registryDriver,
];
