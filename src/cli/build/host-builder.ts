import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostBuilder } from '../../agent/builds/build-sandbox.ts';
import { BuildIndex } from '../../builder/state/build-index.ts';
import { MOST_HINTS } from '../../domain/build.ts';
import { UsageError } from '../errors.ts';
import { buildStore } from './build-store.ts';
import { builderDriver } from './builder-driver.ts';
import { stateDirOf } from './open-builder.ts';

/**
 * What the agent of a host needs to build, in the named store or the best in `buildsDir`. Throws
 * `UsageError` for a store that does not work.
 */
export async function hostBuilder(
  options: { readonly store?: string | undefined; readonly buildsDir: string },
  imagesDir: string,
): Promise<HostBuilder> {
  await mkdir(options.buildsDir, { recursive: true, mode: 0o711 });
  const store = await buildStore(options.store, options.buildsDir);
  if (options.store !== undefined) {
    const { available, detail } = await store.driver.probe(store.root);
    if (!available) throw new UsageError(`--build-store ${options.store}: ${detail}`);
  }
  const place = { store: `${store.driver.name}:${store.root}`, imagesDir };
  const path = join(stateDirOf(store), 'index.db');
  return {
    place,
    driver: store.driver.name,
    sandbox: builderDriver(place),
    hints() {
      if (!existsSync(path)) return [];
      const index = new BuildIndex(path);
      try {
        return index.hints(MOST_HINTS);
      } finally {
        index.close();
      }
    },
  };
}
