import type { VmMaking } from '../../drivers/vm/making.ts';
import type { VmDriver } from '../../drivers/vm/vm.ts';

/** A driver that can make images. */
export type MakingDriver = VmDriver & { readonly making: VmMaking };

/** The virtual machines that a builder can make images in. */
export interface Machines {
  /** Directory of the records of those that builds made. */
  readonly recordsDir: string;
  /** Throws `BuildError` `unsupported` where it cannot be used. */
  open(driver: string): Promise<MakingDriver>;
  /** Which driver takes what is in a directory. */
  driverOf(dir: string): Promise<string>;
}

/** Where a result has the files of its machine. */
export const MACHINE_DIR = 'machine';

/** What a person is asked to do. */
export interface Pause {
  /** Name of the machine on its host. */
  readonly machine: string;
  readonly text: string;
  /** Where its screen is. */
  readonly where: string;
  readonly mac?: string;
  /** It goes on by itself once that succeeds in the guest. */
  readonly check?: string;
  /** Why it could not go on when the person said that it was done. */
  readonly problem?: string;
}

/**
 * Asks a person, and waits until it is said to be done. Absent where there is no person. With a check
 * it is aborted once that succeeds.
 */
export type AskPerson = (pause: Pause, signal: AbortSignal) => Promise<void>;
