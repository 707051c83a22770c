import type { ConsoleKind } from '../../domain/console.ts';
import type { DriverReport } from '../../domain/host.ts';
import type { ImageRef, Limits } from '../../domain/worker.ts';
import type { SshAccess } from '../../platform/ssh/access.ts';
import type { VmMaking } from './making.ts';

/**
 * A VM driver makes, runs and destroys virtual machines on one host.
 *
 * VMs are known by their owned names (`pomona-<fleet>-<worker id>`); `list` shows only VMs with the
 * given prefix, so that nothing foreign is ever touched. Every call may be repeated after a crash;
 * the caller makes one at a time that changes a VM, but `destroy`, which may come at any time.
 */
export interface VmDriver {
  readonly name: string;
  readonly capabilities: VmCapabilities;

  /** For those that can make images. */
  readonly making?: VmMaking;

  /**
   * macOS guests that run and whose names begin otherwise, as far as the hypervisor tells: they take
   * slots, too.
   */
  foreignMacosGuests(namePrefix: string): Promise<number>;
  /** Our VMs on this host, whatever started them. */
  list(namePrefix: string): Promise<VmInfo[]>;
  /**
   * Makes a VM from a local image, with a fresh identity: network address, serial number and,
   * where the guest takes one, host name. Replaces a stopped one of that name, and what a crash left
   * of one; throws `VmError` `running` for one that was started. What fails leaves nothing.
   */
  clone(request: VmCloneRequest, signal: AbortSignal): Promise<void>;
  /**
   * Starts it and returns once a command can run in it; at once when it runs. What did not boot is
   * stopped again. Throws `VmError`, which says what it waited for last.
   */
  boot(name: string, signal: AbortSignal): Promise<void>;
  /**
   * The way into a VM that runs, for whoever is to stand by its commands; undefined where guests
   * are pretended. Throws `VmError`.
   */
  access(name: string): Promise<SshAccess | undefined>;
  /** For those whose VMs show their screens: the socket of one that runs, where RFB (VNC) is spoken. */
  screen?(name: string): Promise<string>;
  /**
   * Runs one command to its end in a VM that runs. Output arrives in order; `onOutput` is awaited
   * (back-pressure).
   */
  exec(name: string, command: VmCommand, signal: AbortSignal): Promise<VmExit>;
  /**
   * Copies what is in a directory of the host into one of the guest, which is made. Paths in guests
   * are relative to the user's home, or absolute.
   */
  copyIn(name: string, dir: string, guestDir: string, signal: AbortSignal): Promise<void>;
  /** Copies the regular files of a directory of the guest into one of the host, which exists. */
  copyOut(name: string, guestDir: string, dir: string, signal: AbortSignal): Promise<void>;
  /**
   * Asks the guest to shut down, and cuts its power when it has not after `graceMs` (0: at once).
   * Returns once it is stopped. Idempotent, also for what is not there.
   */
  stop(name: string, graceMs: number): Promise<void>;
  /** Power off and remove all of it; what goes on in it ends with `VmError`. Idempotent. */
  destroy(name: string): Promise<void>;
}

export interface VmCapabilities {
  /** Running VMs survive a restart of the agent. */
  readonly survivesAgent: boolean;
  /** It makes VMs from images; otherwise it pretends to, from any. */
  readonly images: boolean;
  /** How directories of the host come into guests: as they are, as disks, or not at all. */
  readonly volumes: 'share' | 'disk' | 'none';
}

export interface VmInfo {
  readonly name: string;
  readonly state: 'stopped' | 'booting' | 'running' | 'unknown';
}

export interface VmCloneRequest {
  readonly name: string;
  readonly image: ImageRef;
  /** The image's file or directory on this host, never to be changed. Absent where images do not count. */
  readonly path?: string;
  /** `cpus` and `memoryBytes` are the guest's own. */
  readonly limits: Limits;
  readonly guest: 'macos' | 'linux';
  /** Who commands run as; absent: the driver's default. */
  readonly user?: string;
  /**
   * Where an image is made: VMs cloned with the same text look the same to the network, or as what
   * they were cloned from does. Absent: a fresh identity.
   */
  readonly identity?: string;
  readonly volumes?: readonly VmVolume[];
}

/** What a guest may write to that outlives it. */
export interface VmVolume {
  /** The share's name, or the disk's serial number. */
  readonly name: string;
  /** A directory of the host, or a raw disk, as the driver's capability says. */
  readonly path: string;
}

export interface VmCommand {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  onOutput(chunk: Uint8Array): Promise<void>;
}

export interface VmExit {
  readonly exitCode: number;
}

/**
 * Thrown by VM drivers:
 *
 * - `bad_image`: no VM of this driver can be made from the image
 * - `no_space`: the host's disk is full
 * - `boot_failed`: it did not come as far as running a command
 * - `slots`: the two-VM limit; drain and look for leaked slots
 * - `missing`: there is no such VM, or it was destroyed meanwhile
 * - `running`: it would have to be stopped first
 * - `exec_failed`: the connection to it failed, or it does not run
 * - `tool_failed`: the hypervisor's tool answered what it should not
 */
export class VmError extends Error {
  readonly code:
    | 'bad_image'
    | 'no_space'
    | 'boot_failed'
    | 'slots'
    | 'missing'
    | 'running'
    | 'exec_failed'
    | 'tool_failed';
  constructor(code: VmError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'VmError';
    this.code = code;
  }
}

export interface VmDriverEntry {
  readonly name: string;
  readonly rank: number;
  /** How people can look into its VMs that run. */
  readonly consoles: readonly ConsoleKind[];
  probe(): Promise<DriverReport>;
  /** `dir`: a directory of the driver's own on the host. */
  open(dir: string): VmDriver;
}
