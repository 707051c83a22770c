import type { VmCloneRequest } from './vm.ts';

/**
 * What a driver can do beyond running workers, for making images. VMs are made by `clone` with an
 * `identity`, or by `install`, and end as all others do, by `destroy`.
 */
export interface VmMaking {
  /**
   * Makes a stopped VM and installs macOS on its disk from a restore image (an IPSW) of the host.
   * Replaces a stopped VM of that name. Absent where the driver cannot. Throws `VmError`; what fails
   * leaves nothing.
   */
  install?(request: VmInstallRequest, signal: AbortSignal): Promise<void>;
  /**
   * Starts a VM so that a person sees it, and waits for nothing; one that runs stays as it is.
   * `boot` then waits for it as for any other. Throws `VmError`.
   */
  show(name: string): Promise<VmScreen>;
  /**
   * Looks once whether commands run in a VM that was shown; from then on they can be given. Undefined,
   * or what is the matter, for people. Changes nothing, whatever it finds.
   */
  reach(name: string, signal: AbortSignal): Promise<string | undefined>;
  /**
   * Writes what a stopped VM has become to `path`, from which it was cloned: the copy of an image
   * that nothing else uses, or an empty directory where it was installed. May be repeated.
   */
  save(name: string, path: string, signal: AbortSignal): Promise<void>;
}

/** How a person gets at a VM. */
export interface VmScreen {
  /** Of its network card, as `02:00:00:00:00:00`. */
  readonly mac?: string;
  /** Where its screen is, for people. */
  readonly where: string;
}

export interface VmInstallRequest extends Pick<VmCloneRequest, 'name' | 'limits' | 'user'> {
  /** Path of the restore image. */
  readonly ipsw: string;
  readonly diskBytes: number;
  /** Told how far it is. */
  onNote(text: string): void | Promise<void>;
}
