import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { JobOrder } from '../../domain/job.ts';
import { DEFAULT_LOG_BYTES } from '../../domain/worker.ts';
import type { VmDriver } from '../../drivers/vm/vm.ts';
import { readJson, writeJson } from '../../platform/atomic-file.ts';
import type { SshAccess } from '../../platform/ssh/access.ts';
import { copyFrom } from '../../platform/ssh/guest-files.ts';
import { removeTree } from '../../platform/tree.ts';
import { artifactMatcher, MOST_ARTIFACTS } from '../artifacts.ts';
import {
  endKeeper,
  handOver,
  keeperAlive,
  keeperEnded,
  requestCancel,
  startKeeper,
  type KeeperProgram,
} from '../keeper/control.ts';
import { WORK_DIR } from '../keeper/run-job.ts';
import type { DirOf, WorkFiles } from '../runtime.ts';
import { clearJob, workerPaths, type WorkerPaths, type WorkerRecord } from '../worker-dir.ts';
import type { VmJobs } from './vm-jobs.ts';

/** Copying artifacts out of a guest that hangs is given up. */
const COPY_MS = 600_000;

/** environment.json of a virtual machine. */
interface GuestEnvironment {
  readonly access: SshAccess;
}

/** Jobs in real guests: a keeper stands by each through SSH, whatever becomes of the agent. */
export class KeptJobs implements VmJobs {
  readonly #keeper: KeeperProgram;
  readonly #dirOf: DirOf;

  constructor(keeper: KeeperProgram, dirOf: DirOf) {
    this.#keeper = keeper;
    this.#dirOf = dirOf;
  }

  async prepare(worker: WorkerRecord, driver: VmDriver, signal: AbortSignal): Promise<void> {
    const paths = this.#paths(worker);
    const access = await driver.access(worker.name);
    if (access === undefined)
      throw new Error(`VM driver ${driver.name} has no way into its guests`);
    await writeJson(paths.environment, { access } satisfies GuestEnvironment);
    const logBytes = worker.spec.limits.logBytes ?? DEFAULT_LOG_BYTES;
    const orders = { dir: paths.dir, logBytes, place: { kind: 'guest', access } as const };
    await startKeeper(this.#keeper, paths, orders, signal);
  }

  async renew(worker: WorkerRecord, driver: VmDriver, signal: AbortSignal): Promise<void> {
    const paths = this.#paths(worker);
    await keeperEnded(paths);
    const command = { argv: ['rm', '-rf', WORK_DIR], env: {}, onOutput: async () => undefined };
    const { exitCode } = await driver.exec(worker.name, command, signal);
    if (exitCode !== 0) throw new Error('the work directory of the job before cannot be removed');
    await clearJob(paths);
    await this.prepare(worker, driver, signal);
  }

  readyFile(paths: WorkerPaths): string {
    return paths.keeper;
  }

  isAttended(_worker: WorkerRecord, paths: WorkerPaths): Promise<boolean> {
    return keeperAlive(paths);
  }

  handOver(worker: WorkerRecord, _driver: VmDriver, order: JobOrder): Promise<void> {
    return handOver(this.#paths(worker), order);
  }

  cancel(worker: WorkerRecord): Promise<void> {
    return requestCancel(this.#paths(worker));
  }

  /** What the globs match is copied to this host. */
  async workFiles(worker: WorkerRecord, globs: readonly string[]): Promise<WorkFiles | undefined> {
    if (globs.length === 0) return undefined;
    const paths = this.#paths(worker);
    const environment = await readJson<GuestEnvironment>(paths.environment);
    if (environment === undefined) return undefined;
    const dir = join(paths.dir, 'artifacts');
    await removeTree(dir);
    await mkdir(dir, { mode: 0o700 });
    try {
      const { left } = await copyFrom(
        environment.access,
        WORK_DIR,
        dir,
        artifactMatcher(globs),
        MOST_ARTIFACTS,
        AbortSignal.timeout(COPY_MS),
      );
      if (left === 0) return { dir };
      return { dir, problem: `more than ${MOST_ARTIFACTS} files match; the rest was left` };
    } catch (error) {
      return { dir, problem: `they could not be had of its VM: ${(error as Error).message}` };
    }
  }

  end(worker: WorkerRecord): Promise<void> {
    return endKeeper(this.#paths(worker));
  }

  #paths(worker: WorkerRecord): WorkerPaths {
    return workerPaths(this.#dirOf(worker));
  }
}
