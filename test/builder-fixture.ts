import { chmodSync, mkdirSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bases } from '../src/builder/bases.ts';
import { Builder, type BuildRequest } from '../src/builder/builder.ts';
import type { BuildEvent } from '../src/builder/report.ts';
import { parseSpec } from '../src/builder/spec/parse.ts';
import { SANDBOX_DRIVERS } from '../src/drivers/sandbox/drivers.ts';
import { STORE_DRIVERS } from '../src/drivers/store/drivers.ts';
import { systemClock } from '../src/platform/clock.ts';
import { copyTree, digestTree, removeTree } from '../src/platform/tree.ts';
import { makeRoot, staticBusybox } from './contract/root-file-system.ts';

/** Why builds over a root file system cannot be tried here; false where they can. */
export const noBuilds =
  (staticBusybox() === undefined && 'there is no static busybox (Debian: busybox-static)') ||
  (process.getuid?.() !== 0 && 'root is needed');

/** A machine to build on: a store, a sandbox, a base `busybox`, a context. */
export class BuilderFixture {
  readonly dir = mkdtempSync(join(tmpdir(), 'pomona-builder-'));
  readonly context = join(this.dir, 'context');
  readonly storeDir: string;
  readonly #builders: Builder[] = [];
  /** How often the base was fetched. */
  fetched = 0;
  storeName: string;
  sandboxName: string;

  constructor(options: { store?: string; storeDir?: string; sandbox?: string } = {}) {
    this.storeName = options.store ?? 'copy';
    this.sandboxName = options.sandbox ?? 'bubblewrap';
    this.storeDir = options.storeDir ?? join(this.dir, 'store');
    chmodSync(this.dir, 0o711);
    mkdirSync(this.context);
    mkdirSync(this.storeDir, { recursive: true });
    const base = join(this.dir, 'base');
    mkdirSync(base);
    makeRoot(base, staticBusybox() ?? '');
  }

  get bases(): Bases {
    return {
      resolve: async (from) => ({
        digest: await digestTree(join(this.dir, from)),
        fetch: async (dir) => {
          this.fetched += 1;
          mkdirSync(join(dir, 'rootfs'), { mode: 0o755 });
          await copyTree(join(this.dir, from), join(dir, 'rootfs'), { reflink: false });
          return { layout: 'root', env: { PATH: '/bin' } };
        },
      }),
    };
  }

  async builder(): Promise<Builder> {
    const store = STORE_DRIVERS[this.storeName]?.open(this.storeDir);
    const driver = SANDBOX_DRIVERS[this.sandboxName];
    if (store === undefined || driver === undefined) throw new Error('no such driver');
    const opened = driver.open();
    const sandbox = () => opened;
    const builder = await Builder.open({
      ...{ store, sandbox, bases: this.bases, stateDir: join(this.storeDir, 'state') },
      ...{ limits: {}, clock: systemClock },
    });
    this.#builders.push(builder);
    return builder;
  }

  /** Builds and gathers what was told. */
  async build(builder: Builder, text: string, options: Partial<BuildRequest> = {}) {
    const events: BuildEvent[] = [];
    let output = '';
    const outcome = await builder.build({
      parsed: parseSpec(text.replaceAll('BASE', 'base'), 'spec'),
      contextDir: this.context,
      secrets: new Map(),
      trust: 'trusted',
      noCache: false,
      signal: new AbortController().signal,
      ...options,
      onEvent: (event) => {
        events.push(event);
        if (event.type === 'output') output += event.data.toString();
        return options.onEvent?.(event);
      },
    });
    const how = events.flatMap((event) => (event.type === 'done' ? [event.how] : []));
    const ids = events.flatMap((event) => (event.type === 'done' ? [event.id] : []));
    return { outcome, events, output, how, ids };
  }

  async remove(): Promise<void> {
    for (const builder of this.#builders) {
      await builder.close(AbortSignal.abort()).catch(() => undefined);
    }
    await removeTree(this.dir);
    await rm(this.dir, { recursive: true, force: true });
  }
}
