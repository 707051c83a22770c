import { chmod, mkdir } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ownedPrefix } from '../domain/ids.ts';
import type { JobOrder } from '../domain/job.ts';
import type { ConsoleKind } from '../domain/console.ts';
import { DEFAULT_LOG_BYTES, type WorkerState } from '../domain/worker.ts';
import type { Mount, Sandbox, SandboxDriver, SandboxSpec } from '../drivers/sandbox/sandbox.ts';
import type { Store, StoreDriver } from '../drivers/store/store.ts';
import { readJson, writeJson } from '../platform/atomic-file.ts';
import { removeTree } from '../platform/tree.ts';
import type { Images } from './images.ts';
import {
  endKeeper,
  handOver,
  keeperAlive,
  keeperEnded,
  requestCancel,
  startKeeper,
  type KeeperProgram,
} from './keeper/control.ts';
import { BUILD_SANDBOX, type BuildPlace } from './builds/build-sandbox.ts';
import { WORK_DIR } from './keeper/run-job.ts';
import { PREFIX_PATH } from '../platform/prefix-path.ts';
import { readEnvironment } from './environment-file.ts';
import { SHELL_COMMAND, type WayIn } from './consoles/way-in.ts';
import { lookAtFiles } from './look-at-files.ts';
import type { DirOf, Look, WorkerRuntime, WorkFiles } from './runtime.ts';
import { succeeded } from './succeeded.ts';
import type { Volumes } from './volumes/volumes.ts';
import { clearJob, workerPaths, type WorkerPaths, type WorkerRecord } from './worker-dir.ts';
import type { Leftover } from './leftovers.ts';

interface Parts {
  readonly stores: Readonly<Record<string, StoreDriver>>;
  readonly sandboxes: Readonly<Record<string, Pick<SandboxDriver, 'open'>>>;
  /** Where workers of the kind `build` build. */
  readonly build?: BuildPlace;
  readonly keeper: KeeperProgram;
  readonly images: Images;
  readonly volumes: Volumes;
  /** `stores/<driver>` is made below it. */
  readonly dataDir: string;
  readonly dirOf: DirOf;
  readonly fleet: string;
}

/**
 * Making a worker waits so long at most for jobs that are about to start: starting its keeper takes
 * a processor for a while, which whoever waits for a job would notice.
 */
const GIVE_WAY_MS = 50;

/** Workers that are a clone of an image in a store, run in a sandbox by a keeper. */
export class SandboxRuntime implements WorkerRuntime {
  readonly #parts: Parts;
  readonly #stores = new Map<string, Promise<Store>>();
  readonly #sandboxes = new Map<string, Promise<Sandbox>>();
  /** Snapshots being made, so that workers of one image wait for one. */
  readonly #fetching = new Map<string, Promise<void>>();
  /** Jobs handed over that have not started yet, by worker name, each with what ends the waiting. */
  readonly #starting = new Map<string, PromiseWithResolvers<void>>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async make(
    worker: WorkerRecord,
    progress: (state: WorkerState) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const { image } = worker.spec;
    const [storeName, sandboxName] = driversOf(worker);
    const store = await this.#store(storeName);
    const sandbox = await this.#sandbox(sandboxName);
    const snapshot = image.digest.replace('sha256:', '');
    progress('fetching');
    await this.#fetch(store, snapshot, image.name, image.digest);
    signal.throwIfAborted();

    progress('cloning');
    const clone = await store.clone(snapshot, worker.name, signal);
    // What a build is sent is unpacked by the agent's own user, and for that alone.
    if (worker.spec.kind === 'build') await chmod(clone, 0o700);
    const paths = this.#paths(worker);
    const homeDir = join(clone, 'home');
    const mounts: Mount[] = [];
    for (const use of worker.spec.volumes ?? []) {
      const source = await this.#parts.volumes.attach(worker, use, signal);
      const target = posix.resolve(sandbox.capabilities.homePath ?? homeDir, use.path);
      mounts.push({ source, target, readOnly: false });
    }
    const environment: SandboxSpec = {
      name: worker.name,
      files: {
        kind: 'home',
        homeDir,
        prefixDir: join(clone, 'prefix'),
        prefixPath: PREFIX_PATH,
      },
      tmpDir: paths.tmp,
      mounts,
      network: 'host',
      user: undefined,
      limits: worker.spec.limits,
    };
    await writeJson(paths.environment, environment);
    signal.throwIfAborted();

    progress('booting');
    await sandbox.prepare(environment);
    await this.#startKeeper(worker, environment, signal);
  }

  async renew(worker: WorkerRecord, signal: AbortSignal): Promise<void> {
    const paths = this.#paths(worker);
    const environment = await readEnvironment(paths.environment);
    if (environment === undefined) throw new Error('its environment is not there any more');
    await keeperEnded(paths);
    await removeTree((await this.workFiles(worker)).dir);
    await clearJob(paths);
    await this.#startKeeper(worker, environment, signal);
  }

  async #startKeeper(
    worker: WorkerRecord,
    environment: SandboxSpec,
    signal: AbortSignal,
  ): Promise<void> {
    const { build, keeper } = this.#parts;
    const [, sandbox] = driversOf(worker);
    const place = {
      ...({ kind: 'sandbox', sandbox, environment } as const),
      ...(build === undefined ? {} : { build }),
    };
    const paths = this.#paths(worker);
    const logBytes = worker.spec.limits.logBytes ?? DEFAULT_LOG_BYTES;
    await this.#giveWay();
    await startKeeper(keeper, paths, { dir: paths.dir, logBytes, place }, signal);
  }

  async look(worker: WorkerRecord): Promise<Look> {
    const paths = this.#paths(worker);
    const look = await lookAtFiles(
      paths,
      async () => (await readJson(paths.keeper)) !== undefined,
      () => keeperAlive(paths),
    );
    if (look.state !== 'running' || look.startedAt !== undefined) this.#hasStarted(worker);
    return look;
  }

  async handOver(worker: WorkerRecord, order: JobOrder): Promise<void> {
    this.#starting.set(worker.name, Promise.withResolvers());
    await handOver(this.#paths(worker), order);
  }

  #hasStarted(worker: WorkerRecord): void {
    this.#starting.get(worker.name)?.resolve();
    this.#starting.delete(worker.name);
  }

  async #giveWay(): Promise<void> {
    const starting = [...this.#starting.values()].map(({ promise }) => promise);
    if (starting.length > 0) await Promise.race([Promise.all(starting), sleep(GIVE_WAY_MS)]);
  }

  cancel(worker: WorkerRecord): Promise<void> {
    return requestCancel(this.#paths(worker));
  }

  async wayIn(worker: WorkerRecord, kind: ConsoleKind): Promise<WayIn> {
    const paths = this.#paths(worker);
    const environment = await readEnvironment(paths.environment);
    if (kind !== 'shell') throw new Error(`a sandbox has no ${kind}`);
    if (environment === undefined) throw new Error('its environment is not there any more');
    const sandbox = await this.#sandbox(driversOf(worker)[1]);
    const command = { argv: SHELL_COMMAND, env: {}, workDir: WORK_DIR, terminal: true };
    const launch = await sandbox.launch(environment, command);
    return { kind: 'command', launch, dir: paths.dir };
  }

  async destroy(worker: WorkerRecord): Promise<void> {
    const paths = this.#paths(worker);
    const [storeName, sandboxName] = driversOf(worker);
    this.#hasStarted(worker);
    await endKeeper(paths);
    const environment = await readEnvironment(paths.environment);
    if (environment !== undefined) {
      await (await this.#sandbox(sandboxName)).destroy(environment);
    }
    const kept = await succeeded(paths);
    for (const use of worker.spec.volumes ?? []) {
      await this.#parts.volumes.release(worker.name, use, kept);
    }
    await (await this.#store(storeName)).deleteClone(worker.name);
  }

  async workFiles(worker: WorkerRecord): Promise<WorkFiles> {
    const clones = join(this.#parts.dataDir, 'stores', driversOf(worker)[0], 'clones');
    return { dir: join(clones, worker.name, 'home', WORK_DIR) };
  }

  async leftovers(isKnown: (name: string) => boolean): Promise<Leftover[]> {
    const owned = ownedPrefix(this.#parts.fleet);
    const left: Leftover[] = [];
    for (const store of Object.keys(this.#parts.stores)) {
      const opened = await this.#store(store).catch(() => undefined);
      for (const name of (await opened?.listClones()) ?? []) {
        if (!name.startsWith(owned) || isKnown(name)) continue;
        const remove = async () => opened?.deleteClone(name);
        left.push({ kind: `clone in store ${store}`, name, remove });
      }
    }
    return left;
  }

  #fetch(store: Store, snapshot: string, name: string, digest: string): Promise<void> {
    const key = `${store.name}/${snapshot}`;
    let fetching = this.#fetching.get(key);
    if (fetching === undefined) {
      fetching = store
        .createSnapshot(snapshot, (dir) => this.#parts.images.fill(name, digest, dir))
        .finally(() => this.#fetching.delete(key));
      this.#fetching.set(key, fetching);
    }
    return fetching;
  }

  #store(name: string): Promise<Store> {
    let store = this.#stores.get(name);
    if (store === undefined) {
      store = this.#openStore(name);
      this.#stores.set(name, store);
    }
    return store;
  }

  async #openStore(name: string): Promise<Store> {
    const driver = this.#parts.stores[name];
    if (driver === undefined) throw new Error(`this agent has no store ${name}`);
    const root = join(this.#parts.dataDir, 'stores', name);
    await mkdir(root, { recursive: true, mode: 0o711 });
    const store = driver.open(root);
    await store.recover();
    return store;
  }

  #sandbox(name: string): Promise<Sandbox> {
    let sandbox = this.#sandboxes.get(name);
    if (sandbox === undefined) {
      const driver = this.#parts.sandboxes[name];
      if (driver === undefined) throw new Error(`this agent has no sandbox ${name}`);
      sandbox = driver.open();
      this.#sandboxes.set(name, sandbox);
    }
    return sandbox;
  }

  #paths(worker: WorkerRecord): WorkerPaths {
    return workerPaths(this.#parts.dirOf(worker));
  }
}

function driversOf({ spec }: WorkerRecord): [store: string, sandbox: string] {
  // Its own files are few; what it builds is in the store that builds are in.
  if (spec.kind === 'build') return ['copy', BUILD_SANDBOX];
  if (spec.kind !== 'sandbox') throw new Error(`worker of kind ${spec.kind} given to sandboxes`);
  return [spec.store, spec.sandbox];
}
