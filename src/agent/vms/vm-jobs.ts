import type { JobOrder } from '../../domain/job.ts';
import type { VmDriver } from '../../drivers/vm/vm.ts';
import type { WorkFiles } from '../runtime.ts';
import type { WorkerPaths, WorkerRecord } from '../worker-dir.ts';

/** How the jobs of virtual machines are stood by. Calls may be repeated after a crash. */
export interface VmJobs {
  /** Makes a worker whose VM runs ready for its job. */
  prepare(worker: WorkerRecord, driver: VmDriver, signal: AbortSignal): Promise<void>;
  /** Makes a worker whose job was delivered ready for another. */
  renew(worker: WorkerRecord, driver: VmDriver, signal: AbortSignal): Promise<void>;
  /** The file that is there once a worker is ready. */
  readyFile(paths: WorkerPaths): string;
  /** Someone stands by the worker, its VM aside. */
  isAttended(worker: WorkerRecord, paths: WorkerPaths): Promise<boolean>;
  handOver(worker: WorkerRecord, driver: VmDriver, order: JobOrder): Promise<void>;
  cancel(worker: WorkerRecord): Promise<void>;
  workFiles(worker: WorkerRecord, globs: readonly string[]): Promise<WorkFiles | undefined>;
  /** Nobody is to stand by it any more. */
  end(worker: WorkerRecord): Promise<void>;
}
