import { chmod, mkdir, readdir, statfs } from 'node:fs/promises';
import { watch } from 'node:fs';
import { join } from 'node:path';
import type { HostCapacity, HostFacts } from '../domain/host.ts';
import type { DesiredWorker, ObservedWorker, WorkerSpec } from '../domain/worker.ts';
import type { SandboxDriver } from '../drivers/sandbox/sandbox.ts';
import type { StoreDriver } from '../drivers/store/store.ts';
import type { VmDriverEntry } from '../drivers/vm/vm.ts';
import { LocalImages } from '../images/local-images.ts';
import { PeerServer } from '../images/peers/peer-server.ts';
import { readJson } from '../platform/atomic-file.ts';
import { lockDirectory } from '../platform/directory-lock.ts';
import type { Logger } from '../platform/logger.ts';
import { Refresh } from '../platform/refresh.ts';
import { removeTree } from '../platform/tree.ts';
import { BUILD_SANDBOX, type HostBuilder } from './builds/build-sandbox.ts';
import { Controllers } from './controllers.ts';
import { ControllerClient } from './controller-client.ts';
import { AgentConsoles } from './consoles/consoles.ts';
import type { WayIn } from './consoles/way-in.ts';
import type { ConsoleKind } from '../domain/console.ts';
import { obtainCredential, type Credential } from './credential.ts';
import { buildsOf, gatherFacts } from './gather-facts.ts';
import { HostCare } from './host-care.ts';
import type { HostTools } from './host-tasks.ts';
import { ImageFetches, type FetchProgram } from './image-fetches.ts';
import { Images } from './images.ts';
import type { KeeperProgram } from './keeper/control.ts';
import { Rebuilds, type RebuildProgram } from './rebuilds.ts';
import type { WorkerRuntime } from './runtime.ts';
import { SandboxRuntime } from './sandbox-runtime.ts';
import { Session } from './session.ts';
import type { Rent } from './rented.ts';
import { readSettings, withSettings } from './settings.ts';
import { Volumes } from './volumes/volumes.ts';
import { VmRuntime } from './vms/vm-runtime.ts';
import { Worker } from './worker.ts';
import { workerPaths, type WorkerRecord } from './worker-dir.ts';

export interface AgentOptions {
  /** One or more, with commas between them: any of the fleet's controllers. */
  readonly controllerUrl: string;
  /** Gives a join token; asked only while the host has no credential. */
  joinToken(): Promise<string>;
  /** The host's name in the fleet. */
  readonly name: string;
  readonly dataDir: string;
  readonly labels: readonly string[];
  readonly capacity: HostCapacity;
  readonly stores: Readonly<Record<string, StoreDriver>>;
  readonly sandboxes: Readonly<Record<string, SandboxDriver>>;
  readonly vms: Readonly<Record<string, VmDriverEntry>>;
  readonly keeper: KeeperProgram;
  /** Absent: this host builds nothing. */
  readonly builds?: HostBuilder;
  /** Absent: this host makes no images. */
  readonly rebuild?: RebuildProgram;
  /** Absent: this host brings no images by itself. */
  readonly fetchImages?: FetchProgram;
  /** Where it gives chunks of its images to other hosts; absent: it does not. */
  readonly peerListen?: PeerListen;
  /** The host is rented: it ends itself when its time is over, or it was removed from the fleet. */
  readonly rent?: Rent;
  /** What it may do to its host when it is asked; absent: to clean up alone. */
  readonly tools?: HostTools;
  readonly log: Logger;
  /** What this process is called when it is found to hold the data directory. */
  readonly program: string;
}

export interface Agent {
  /** Settles when the agent ended; throws when it was refused for good. */
  readonly done: Promise<void>;
  /** Stops. Jobs that run go on, and are adopted at the next start. */
  close(): Promise<void>;
}

/** How often workers are looked at that nobody else looks after. */
const AGING_MS = 15_000;
/** How often images are listed, whatever the file system says of changes. */
const IMAGES_MS = 15_000;

export interface PeerListen {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** What other hosts reach it by, when that is another than `host` and the port it got. */
  readonly address?: string;
}

/** Starts the agent of one host: adopts what is there, then does what the controller wants. */
export async function startAgent(asked: AgentOptions): Promise<Agent> {
  const { dataDir } = asked;
  await mkdir(dataDir, { recursive: true, mode: 0o711 });
  // Workers' own users pass through; each thing that is private in it is so by itself.
  await chmod(dataDir, 0o711);
  const lock = await lockDirectory(dataDir, asked.program);
  try {
    const settings = await readSettings(dataDir);
    const options = withSettings(asked, settings ?? {});
    const controllers = new Controllers(options.controllerUrl);
    const credential = await obtainCredential(options, controllers);
    const facts = await gatherFacts(options);
    const known = settings === undefined ? facts : { ...facts, settings };
    const running = new RunningAgent(options, controllers, credential, known);
    await running.start();
    return {
      done: running.done,
      close: async () => {
        await running.close();
        lock.release();
      },
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}

class RunningAgent {
  readonly #options: AgentOptions;
  readonly #credential: Credential;
  readonly #client: ControllerClient;
  readonly #controllers: Controllers;
  readonly #images: Images;
  readonly #workers = new Map<string, Worker>();
  readonly #runtimes: Readonly<Record<WorkerSpec['kind'], WorkerRuntime>>;
  readonly #workersDir: string;
  #facts: HostFacts;
  #session: Session | undefined;
  readonly #vms: VmRuntime;
  readonly #volumes: Volumes;
  readonly #care: HostCare;
  readonly #consoles: AgentConsoles;
  #aging: NodeJS.Timeout | undefined;
  #imageLooks: NodeJS.Timeout | undefined;
  #rebuilds: Rebuilds | undefined;
  #fetches: ImageFetches | undefined;
  #peerKey: Buffer | undefined;
  #peering: Promise<PeerServer | undefined> | undefined;
  readonly #stopWatching = new AbortController();
  readonly #over = Promise.withResolvers<void>();
  readonly done: Promise<void> = this.#over.promise;

  constructor(
    options: AgentOptions,
    controllers: Controllers,
    credential: Credential,
    facts: HostFacts,
  ) {
    this.#controllers = controllers;
    this.#options = options;
    this.#credential = credential;
    this.#client = new ControllerClient(controllers, credential.credential);
    this.#images = new Images(options.dataDir);
    this.#workersDir = join(options.dataDir, 'workers');
    const { stores, sandboxes, vms, keeper, dataDir } = options;
    const { fleet } = credential;
    const dirOf = (worker: { name: string }) => join(this.#workersDir, worker.name);
    const { builds } = options;
    this.#volumes = new Volumes({ stores, dataDir });
    const volumes = this.#volumes;
    const common = { stores, keeper, dataDir, dirOf, fleet, images: this.#images, volumes };
    this.#vms = new VmRuntime({
      ...{ ...common, vms, log: options.log },
      slotRefused: () => this.#care.slotRefused(),
    });
    this.#runtimes = {
      sandbox: new SandboxRuntime({ ...common, sandboxes }),
      build: new SandboxRuntime({
        ...common,
        ...(builds === undefined ? {} : { build: builds.place }),
        sandboxes: builds === undefined ? {} : { [BUILD_SANDBOX]: builds.sandbox },
      }),
      vm: this.#vms,
    };
    const { tools, rent, log } = options;
    this.#care = new HostCare({
      ...{ dataDir, fleet, tools, rent, log, macosVms: options.capacity.macosVms },
      ...{ runtimes: Object.values(this.#runtimes), vms: this.#vms, volumes },
      workers: () => this.#workers.values(),
      isConnected: () => this.#session?.isOpen === true,
      changed: () => this.#session?.changedAll(),
      factsChanged: (changed) => {
        this.#facts = { ...this.#facts, ...changed };
        this.#session?.factsChanged();
      },
      ended: () => this.#over.resolve(),
    });
    this.#facts = { ...facts, tasks: this.#care.tasks.can };
    this.#consoles = new AgentConsoles({
      ...{ controllers: this.#controllers.all, credential: this.#credential.credential, log },
      wayIn: (name, kind) => this.#wayIn(name, kind),
    });
    // Whoever only starts an agent need not listen for its end.
    this.done.catch(() => undefined);
  }

  async start(): Promise<void> {
    await mkdir(this.#workersDir, { recursive: true, mode: 0o711 });
    for (const name of await readdir(this.#workersDir)) {
      const paths = workerPaths(join(this.#workersDir, name));
      const record = await this.#readRecord(paths.worker);
      if (record === undefined) await removeTree(paths.dir);
      else this.#add(record, undefined);
    }
    await this.#care.start();
    await this.#watchImages();
    const { rebuild, fetchImages, log } = this.#options;
    const { dir } = this.#images;
    if (rebuild !== undefined) this.#rebuilds = new Rebuilds(dir, rebuild, log);
    if (fetchImages !== undefined) {
      const sharing = {
        turns: (names: readonly string[]) =>
          this.#client.imageTurns(names, this.#stopWatching.signal),
        key: () => this.#peerKey,
      };
      this.#fetches = new ImageFetches(dir, fetchImages, log, sharing, (imageFetches) => {
        this.#facts = { ...this.#facts, imageFetches };
        this.#session?.factsChanged();
      });
    }
    this.#session = new Session(
      this.#controllers,
      this.#credential.credential,
      {
        name: this.#options.name,
        facts: () => this.#facts,
        observed: () => this.#observed(),
        task: () => this.#care.tasks.observed,
        leaks: () => this.#care.leaks,
        diskFreeBytes: () => this.#diskFree(),
        welcomed: (fleet, peerKey) => this.#welcomed(fleet, peerKey),
        desired: ({ workers, images, task, consoles = [] }) => {
          this.#fetches?.want(images);
          this.#desired(workers);
          this.#care.tasks.want(task);
          this.#consoles.want(consoles);
        },
      },
      this.#options.log,
    );
    this.#session.done.then(this.#over.resolve, async (error: unknown) => {
      if (!(await this.#care.giveBack((error as Error).message))) this.#over.reject(error);
    });
    this.#aging = setInterval(() => this.#endOldWorkers(), AGING_MS);
    this.#aging.unref();
  }

  #wayIn(name: string, kind: ConsoleKind): Promise<WayIn> {
    const worker = [...this.#workers.values()].find(({ record }) => record.name === name);
    if (worker === undefined) throw new Error(`there is no worker ${name} any more`);
    return this.#runtimes[worker.record.spec.kind].wayIn(worker.record, kind);
  }

  /** What nobody looks after must not stay for ever. */
  #endOldWorkers(): void {
    if (this.#session?.isOpen === true) return;
    for (const worker of this.#workers.values()) worker.endIfOld(Date.now());
  }

  async close(): Promise<void> {
    clearInterval(this.#aging);
    clearInterval(this.#imageLooks);
    this.#stopWatching.abort();
    this.#session?.close();
    this.#consoles.close();
    await this.#care.close();
    await this.#rebuilds?.close();
    this.#fetches?.close();
    await (await this.#peering)?.close();
    await Promise.all([...this.#workers.values()].map((worker) => worker.close()));
    await this.#session?.done.catch(() => undefined);
  }

  /** Undefined when the file says nothing: the worker's other leftovers are swept by their names. */
  async #readRecord(path: string): Promise<WorkerRecord | undefined> {
    try {
      return await readJson<WorkerRecord>(path);
    } catch (error) {
      this.#options.log.log('error', 'a worker’s record is damaged; it is removed', {
        path,
        error,
      });
      return undefined;
    }
  }

  #observed(): ObservedWorker[] {
    return [...this.#workers.values()].map((worker) => worker.observed);
  }

  #welcomed(fleet: string, peerKey: Buffer): void {
    if (fleet === this.#credential.fleet) {
      void this.#care.tasks.welcomed();
      this.#peerKey ??= peerKey;
      this.#peering ??= this.#listenForPeers(peerKey).catch((error: unknown) => {
        this.#options.log.log('error', 'no images are given to other hosts', { error });
        return undefined;
      });
      return;
    }
    this.#session?.close();
    this.#over.reject(
      new Error(
        `this host belongs to fleet ${this.#credential.fleet}, and the controller is of fleet ${fleet}; ` +
          `remove ${join(this.#options.dataDir, 'credential.json')} and join again to move it`,
      ),
    );
  }

  async #listenForPeers(key: Buffer): Promise<PeerServer | undefined> {
    const { peerListen } = this.#options;
    if (peerListen === undefined) return undefined;
    const server = await PeerServer.listen(new LocalImages(this.#images.dir), key, peerListen);
    const peer = peerListen.address ?? `${peerListen.host}:${server.port}`;
    this.#facts = { ...this.#facts, peer };
    this.#session?.factsChanged();
    return server;
  }

  #desired(desired: readonly DesiredWorker[]): void {
    const wanted = new Map(desired.map((worker) => [worker.id, worker]));
    for (const [id, worker] of this.#workers) {
      const mine = wanted.get(id);
      if (mine === undefined && worker.isGone) {
        this.#workers.delete(id);
        if (worker.record.spec.kind === 'build') this.#reloadBuilds();
      } else if (mine !== undefined && worker.isGone && mine.epoch > worker.record.epoch) {
        // It was to take another job, and is gone: it is made anew below.
        this.#workers.delete(id);
      } else worker.want(mine);
    }
    for (const worker of desired) {
      if (this.#workers.has(worker.id)) continue;
      const { id, name, epoch, spec } = worker;
      this.#add({ id, name, epoch, spec, since: Date.now() }, worker);
    }
  }

  #add(record: WorkerRecord, first: DesiredWorker | undefined): void {
    const parts = {
      runtime: this.#runtimes[record.spec.kind],
      client: this.#client,
      log: this.#options.log,
      dir: join(this.#workersDir, record.name),
      changed: (worker: Worker) => this.#session?.changed(worker.observed),
    };
    this.#workers.set(record.id, new Worker(record, parts, first));
  }

  /** Imports by another process show as files. */
  async #watchImages(): Promise<void> {
    const { signal } = this.#stopWatching;
    const dir = await this.#images.watchedDir();
    const { log } = this.#options;
    const reload = new Refresh(
      () => this.#reloadImages(),
      (error) => log.log('warn', 'images cannot be listed', { error }),
    );
    this.#imageLooks = setInterval(() => reload.ask(), IMAGES_MS);
    this.#imageLooks.unref();
    try {
      watch(dir, { signal, recursive: true }, () => reload.ask());
    } catch (error) {
      log.log('warn', `new images are seen after ${IMAGES_MS / 1_000} s`, { error });
    }
  }

  async #reloadImages(): Promise<void> {
    const images = await this.#images.list();
    if (JSON.stringify(images) === JSON.stringify(this.#facts.images)) return;
    this.#facts = { ...this.#facts, images, imageBytes: await this.#images.bytesOf(images) };
    this.#session?.factsChanged();
  }

  /** After a build the host has more to offer. */
  #reloadBuilds(): void {
    const builds = buildsOf(this.#options);
    if (JSON.stringify(builds.builds) === JSON.stringify(this.#facts.builds)) return;
    this.#facts = { ...this.#facts, ...builds };
    this.#session?.factsChanged();
  }

  async #diskFree(): Promise<number | undefined> {
    const { bavail, bsize } = await statfs(this.#options.dataDir);
    return bavail * bsize;
  }
}
