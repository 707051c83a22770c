/** Ways into a worker: a terminal with its shell, or its screen (RFB, as VNC has it). */
export const CONSOLES = ['shell', 'screen'] as const;
export type ConsoleKind = (typeof CONSOLES)[number];

/** Into which workers a host lets people. */
export interface HostConsoles {
  /** Workers in sandboxes have shells. */
  readonly sandboxes: boolean;
  /** Names of the VM drivers whose workers have shells, and screens. */
  readonly shells: readonly string[];
  readonly screens: readonly string[];
}

/** A console that is wanted on a host, as its agent is told while it is open. */
export interface DesiredConsole {
  readonly id: string;
  readonly kind: ConsoleKind;
  /** Name of the worker, as everything of it is called on the host. */
  readonly worker: string;
  /** Columns and lines of the terminal at its beginning. */
  readonly cols: number;
  readonly lines: number;
}
