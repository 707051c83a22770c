import { chmodSync, existsSync, mkdirSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bases } from '../src/builder/bases.ts';
import { Builder } from '../src/builder/builder.ts';
import type { BuildRequest } from '../src/builder/one-build.ts';
import type { BuildEvent } from '../src/builder/report.ts';
import { parseSpec } from '../src/builder/spec/parse.ts';
import { bubblewrapDriver } from '../src/drivers/sandbox/bubblewrap/bubblewrap.ts';
import type { Sandbox } from '../src/drivers/sandbox/sandbox.ts';
import { STORE_DRIVERS } from '../src/drivers/store/drivers.ts';
import type { StoreDriver } from '../src/drivers/store/store.ts';
import type { Limits } from '../src/domain/worker.ts';
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
  /** What the store's driver opens. */
  readonly storeRoot: string;
  readonly #limits: Limits;
  readonly #sandbox: Promise<Sandbox> | undefined;
  readonly #builders: Builder[] = [];
  /** How often the base was fetched. */
  fetched = 0;
  /** Of bases with a home and a prefix: where that is wanted. */
  prefixPath = '/usr/local';
  storeName: string;

  constructor(
    options: {
      store?: string;
      storeRoot?: string;
      sandbox?: Promise<Sandbox>;
      /** Log kept of a step. */
      logBytes?: number;
    } = {},
  ) {
    this.#limits = options.logBytes === undefined ? {} : { logBytes: options.logBytes };
    this.storeName = options.store ?? 'copy';
    this.#sandbox = options.sandbox;
    this.storeRoot = options.storeRoot ?? join(this.dir, 'store');
    chmodSync(this.dir, 0o711);
    mkdirSync(this.context);
    const base = join(this.dir, 'base');
    mkdirSync(base);
    makeRoot(base, staticBusybox() ?? '');
  }

  /** Directory of the store's own files. */
  get storeDir(): string {
    return this.#driver.dirOf(this.storeRoot);
  }

  /** Clones that the store has. */
  clones(): Promise<string[]> {
    return this.#driver.open(this.storeRoot).listClones();
  }

  get #driver(): StoreDriver {
    const driver = STORE_DRIVERS[this.storeName];
    if (driver === undefined) throw new Error(`there is no store ${this.storeName}`);
    return driver;
  }

  get bases(): Bases {
    return {
      resolve: async (from) => ({
        digest: await digestTree(join(this.dir, from)),
        fetch: async (dir, { makePart }) => {
          this.fetched += 1;
          if (existsSync(join(this.dir, from, 'prefix'))) {
            for (const part of ['home', 'prefix']) {
              await copyTree(join(this.dir, from, part), await makePart(part), { reflink: false });
            }
            return { layout: 'home', env: {}, prefixPath: this.prefixPath };
          }
          mkdirSync(join(dir, 'rootfs'), { mode: 0o755 });
          await copyTree(join(this.dir, from), join(dir, 'rootfs'), { reflink: false });
          return { layout: 'root', env: { PATH: '/bin' } };
        },
      }),
    };
  }

  async builder(): Promise<Builder> {
    const opened = this.#sandbox ?? bubblewrapDriver.open();
    const builder = await Builder.open({
      store: this.#driver.open(this.storeRoot),
      sandbox: () => opened,
      bases: this.bases,
      stateDir: join(this.storeDir, 'state'),
      ...{ limits: this.#limits, clock: systemClock },
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
