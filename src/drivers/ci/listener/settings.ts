/** A program that asks some CI system for tasks with a token, and how it is looked after. */
export interface ListenerSettings {
  /** argv. Holds no secret. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Environment variables of it, and the names of the secrets that they have. */
  readonly secrets: Readonly<Record<string, string>>;
  readonly files: readonly ListenerFile[];
  readonly busy: BusyRule;
  /** Tasks after which it ends, once it idles. */
  readonly tasks: number;
  /** It ends once it idles after so long, give or take a tenth, so that not all end together. */
  readonly softLifeMs: number;
  /** It ends after so long, whatever it does. */
  readonly hardLifeMs: number;
  /** The signal that has it take no more tasks and end. */
  readonly stopSignal: string;
  /** How long it may take to end then. */
  readonly drainMs: number;
}

/** A file that it needs, such as a configuration with its token. */
export interface ListenerFile {
  /** Relative to the working directory, or absolute. */
  readonly path: string;
  /** `${NAME}` stands for one of its secrets. */
  readonly content: string;
  /** Left there; else it is removed once the listener had its time to read it. */
  readonly keep: boolean;
}

/** How it is told whether it has a task. */
export type BusyRule =
  /** By lines that it prints: extended regular expressions. */
  | { readonly by: 'output'; readonly busy: string; readonly idle: string }
  /** By a command that succeeds while it has one. */
  | { readonly by: 'command'; readonly command: readonly string[] };
