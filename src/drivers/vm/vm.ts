import type { DriverReport } from '../../domain/host.ts';
import type { ImageRef, Limits } from '../../domain/worker.ts';

/**
 * A VM driver makes, runs and destroys virtual machines on one host.
 *
 * VMs are known by their owned names (`pomona-<fleet>-<worker id>`); `list` shows only VMs with the
 * given prefix, so that nothing foreign is ever touched. Every call may be repeated after a crash.
 */
export interface VmDriver {
  readonly name: string;
  readonly capabilities: VmCapabilities;

  /** Our VMs on this host, whatever started them. */
  list(namePrefix: string): Promise<VmInfo[]>;
  /**
   * Makes a VM from a local image, with a fresh identity. Replaces a stopped one of that name;
   * throws `VmError` `running` for one that was started.
   */
  clone(request: VmCloneRequest, signal: AbortSignal): Promise<void>;
  /**
   * Starts it and returns once a command can run in it; at once when it runs. What did not boot is
   * stopped again. Throws `VmError`.
   */
  boot(name: string, signal: AbortSignal): Promise<void>;
  /**
   * Runs one command to its end in a VM that runs. Output arrives in order; `onOutput` is awaited
   * (back-pressure).
   */
  exec(name: string, command: VmCommand, signal: AbortSignal): Promise<VmExit>;
  /** Power off and remove all of it; what goes on in it ends with `VmError`. Idempotent. */
  destroy(name: string): Promise<void>;
}

export interface VmCapabilities {
  /** A running VM and its command survive a restart of the agent. */
  readonly survivesAgent: boolean;
}

export interface VmInfo {
  readonly name: string;
  readonly state: 'stopped' | 'booting' | 'running' | 'unknown';
}

export interface VmCloneRequest {
  readonly name: string;
  readonly image: ImageRef;
  readonly limits: Limits;
}

export interface VmCommand {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  onOutput(chunk: Uint8Array): Promise<void>;
}

export interface VmExit {
  readonly exitCode: number;
}

/** Thrown by VM drivers. `slots` is the two-VM limit: drain and look for leaked slots. */
export class VmError extends Error {
  readonly code: 'boot_failed' | 'slots' | 'missing' | 'running' | 'exec_failed' | 'no_space';
  constructor(code: VmError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'VmError';
    this.code = code;
  }
}

export interface VmDriverEntry {
  readonly name: string;
  readonly rank: number;
  probe(): Promise<DriverReport>;
  /** `dir`: a directory of the driver's own on the host. */
  open(dir: string): VmDriver;
}
