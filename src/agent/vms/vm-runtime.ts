import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ConsoleKind } from '../../domain/console.ts';
import { ownedPrefix } from '../../domain/ids.ts';
import type { JobOrder } from '../../domain/job.ts';
import type { WorkerState } from '../../domain/worker.ts';
import { VmError, type VmDriver, type VmDriverEntry, type VmVolume } from '../../drivers/vm/vm.ts';
import { readJson, writeJson } from '../../platform/atomic-file.ts';
import { isThere } from '../../platform/is-there.ts';
import type { Logger } from '../../platform/logger.ts';
import { sshArguments } from '../../platform/ssh/access.ts';
import type { WayIn } from '../consoles/way-in.ts';
import type { Images } from '../images.ts';
import type { KeeperProgram } from '../keeper/control.ts';
import { lookAtFiles } from '../look-at-files.ts';
import type { DirOf, Look, WorkerRuntime, WorkFiles } from '../runtime.ts';
import { workerPaths, type WorkerPaths, type WorkerRecord } from '../worker-dir.ts';
import { succeeded } from '../succeeded.ts';
import type { Volumes } from '../volumes/volumes.ts';
import { flushVolumes, mountVolumes, vmVolume } from './guest-volumes.ts';
import { KeptJobs } from './kept-jobs.ts';
import { PretendedJobs } from './pretended-jobs.ts';
import type { VmJobs } from './vm-jobs.ts';
import type { Leftover } from '../leftovers.ts';

interface Parts {
  readonly vms: Readonly<Record<string, VmDriverEntry>>;
  readonly keeper: KeeperProgram;
  readonly images: Images;
  readonly volumes: Volumes;
  /** `vms/<driver>` is made below it. */
  readonly dataDir: string;
  readonly dirOf: DirOf;
  readonly fleet: string;
  readonly log: Logger;
  /** Told when the system refuses a macOS guest for want of a slot. */
  slotRefused(): Promise<void>;
}

/** Workers that are virtual machines. */
export class VmRuntime implements WorkerRuntime {
  readonly #parts: Parts;
  readonly #kept: VmJobs;
  readonly #pretended: VmJobs;
  readonly #drivers = new Map<string, VmDriver>();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#kept = new KeptJobs(parts.keeper, parts.dirOf);
    this.#pretended = new PretendedJobs(parts.dirOf, parts.log);
  }

  async make(
    worker: WorkerRecord,
    progress: (state: WorkerState) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const { spec, name } = worker;
    if (spec.kind !== 'vm') throw new Error(`worker of kind ${spec.kind} given to VMs`);
    const { image, limits, guest, user } = spec;
    const driver = await this.#driver(worker);
    progress('cloning');
    const path = driver.capabilities.images
      ? { path: await this.#parts.images.pathOf(image.name, image.digest) }
      : {};
    const as = user === undefined ? {} : { user };
    const volumes: VmVolume[] = [];
    for (const use of spec.volumes ?? []) {
      const dir = await this.#parts.volumes.attach(worker, use, signal);
      volumes.push(await vmVolume(driver, use, dir));
    }
    await driver.clone({ name, image, limits, guest, ...path, ...as, volumes }, signal);
    progress('booting');
    try {
      await driver.boot(name, signal);
    } catch (error) {
      if (error instanceof VmError && error.code === 'slots') await this.#parts.slotRefused();
      throw error;
    }
    await mountVolumes(driver, name, spec.volumes ?? [], signal);
    await this.#jobsOf(driver).prepare(worker, driver, signal);
  }

  async renew(worker: WorkerRecord, signal: AbortSignal): Promise<void> {
    const driver = await this.#driver(worker);
    await this.#jobsOf(driver).renew(worker, driver, signal);
  }

  async look(worker: WorkerRecord): Promise<Look> {
    const paths = this.#paths(worker);
    const driver = await this.#driver(worker);
    const jobs = this.#jobsOf(driver);
    return lookAtFiles(
      paths,
      async () => (await readJson(jobs.readyFile(paths))) !== undefined,
      async () => {
        if (!(await jobs.isAttended(worker, paths))) return false;
        // A job ends by itself when its VM does.
        if ((await readJson(paths.order)) !== undefined) return true;
        const [info] = await driver.list(worker.name);
        return info?.state === 'running';
      },
    );
  }

  async handOver(worker: WorkerRecord, order: JobOrder): Promise<void> {
    const driver = await this.#driver(worker);
    await this.#jobsOf(driver).handOver(worker, driver, order);
  }

  async cancel(worker: WorkerRecord): Promise<void> {
    await this.#jobsOf(await this.#driver(worker)).cancel(worker);
  }

  async wayIn(worker: WorkerRecord, kind: ConsoleKind): Promise<WayIn> {
    const driver = await this.#driver(worker);
    if (kind === 'screen') {
      const path = await driver.screen?.(worker.name);
      if (path === undefined) throw new Error(`VM driver ${driver.name} shows no screens`);
      return { kind: 'socket', path };
    }
    const access = await driver.access(worker.name);
    if (access === undefined)
      throw new Error(`VM driver ${driver.name} has no way into its guests`);
    const args = sshArguments(access, 'exec "${SHELL:-/bin/sh}" -l', { terminal: true });
    const env = { PATH: process.env['PATH'] ?? '', TERM: 'xterm-256color' };
    const { dir } = this.#paths(worker);
    return { kind: 'command', launch: { file: 'ssh', args, env, cwd: '/' }, dir };
  }

  async destroy(worker: WorkerRecord): Promise<void> {
    const driver = await this.#driver(worker);
    await this.#jobsOf(driver).end(worker);
    const volumes = worker.spec.volumes ?? [];
    const kept = volumes.length > 0 && (await succeeded(this.#paths(worker)));
    // One that one worker has at a time stays whatever became of the job.
    const needed = kept || volumes.some(({ mode }) => mode === 'exclusive');
    const paths = this.#paths(worker);
    // What was written before a crash of ours is written, although its machine is gone by now.
    const written =
      needed && ((await isThere(paths.written)) || (await flushVolumes(driver, worker.name)));
    if (written) await writeJson(paths.written, {});
    await driver.destroy(worker.name);
    for (const use of volumes) {
      await this.#parts.volumes.release(worker.name, use, kept && written);
    }
  }

  async workFiles(worker: WorkerRecord, globs: readonly string[]): Promise<WorkFiles | undefined> {
    return this.#jobsOf(await this.#driver(worker)).workFiles(worker, globs);
  }

  async leftovers(isKnown: (name: string) => boolean): Promise<Leftover[]> {
    const left: Leftover[] = [];
    for (const driver of await this.drivers()) {
      for (const { name } of await driver.list(ownedPrefix(this.#parts.fleet))) {
        if (isKnown(name)) continue;
        left.push({ kind: `VM of ${driver.name}`, name, remove: () => driver.destroy(name) });
      }
    }
    return left;
  }

  /** Those that work on this host. */
  async drivers(): Promise<VmDriver[]> {
    const drivers: VmDriver[] = [];
    for (const [name, entry] of Object.entries(this.#parts.vms)) {
      if ((await entry.probe()).available) drivers.push(await this.#open(name));
    }
    return drivers;
  }

  #jobsOf(driver: VmDriver): VmJobs {
    return driver.capabilities.images ? this.#kept : this.#pretended;
  }

  #driver({ spec }: WorkerRecord): Promise<VmDriver> {
    if (spec.kind !== 'vm') throw new Error(`worker of kind ${spec.kind} given to VMs`);
    return this.#open(spec.vm);
  }

  async #open(name: string): Promise<VmDriver> {
    let driver = this.#drivers.get(name);
    if (driver === undefined) {
      const entry = this.#parts.vms[name];
      if (entry === undefined) throw new Error(`this agent has no vm driver ${name}`);
      const dir = join(this.#parts.dataDir, 'vms', name);
      await mkdir(dir, { recursive: true, mode: 0o700 });
      driver = this.#drivers.get(name) ?? entry.open(dir);
      this.#drivers.set(name, driver);
    }
    return driver;
  }

  #paths(worker: WorkerRecord): WorkerPaths {
    return workerPaths(this.#parts.dirOf(worker));
  }
}
