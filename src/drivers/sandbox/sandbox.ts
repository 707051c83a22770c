import type { DriverReport, Isolation } from '../../domain/host.ts';
import type { Limits } from '../../domain/worker.ts';

/**
 * A sandbox runs commands over one clone: a home directory and a tools prefix, or a whole root
 * file system.
 *
 * It lives in two processes: the agent prepares and destroys, the worker's keeper launches and
 * ends commands. Both know the environment only by `SandboxSpec`, so every method is a function of
 * it and of what the machine shows (no memory between calls), and each may be repeated after a
 * crash. Drivers start nothing but what `launch` describes: the keeper owns processes and pipes.
 */
export interface Sandbox {
  readonly name: string;
  readonly capabilities: SandboxCapabilities;

  /**
   * Makes what commands need around the clone: a user, a cgroup, owners of files, places for
   * mounts. When it throws, `destroy` removes whatever was made. Throws `SandboxError` for a spec
   * that the sandbox cannot honour.
   */
  prepare(spec: SandboxSpec): Promise<void>;

  /**
   * Says how to start `command` so that it runs inside with the limits in force. The environment
   * is never put on a command line. Must be prepared.
   */
  launch(spec: SandboxSpec, command: SandboxCommand): Promise<Launch>;

  /** Asks the processes of the environment to end (SIGTERM). Does not wait. */
  terminate(spec: SandboxSpec): Promise<void>;

  /** Why the system ended a command, such as running out of memory, where that can be known. */
  killReason(spec: SandboxSpec): Promise<string | undefined>;

  /**
   * Ends every process of the environment, daemonised, re-parented and stopped ones included, and
   * returns once none is left. Throws when some survive for more than 10 s.
   */
  killAll(spec: SandboxSpec): Promise<void>;

  /**
   * Removes everything `prepare` and the commands left outside the clone: user, cgroup, mounts,
   * containers, files in shared places (`/tmp`, `/var/tmp`, `/dev/shm`, IPC); the clone's
   * directories are where the spec says. Calls `killAll` first.
   * Idempotent, also for a spec that was never prepared.
   */
  destroy(spec: SandboxSpec): Promise<void>;
}

export interface SandboxCapabilities {
  readonly isolation: Isolation;
  /** The image's prefix appears at `HomeFiles.prefixPath`; otherwise only as `$POMONA_PREFIX`. */
  readonly mountsPrefix: boolean;
  /** Which limits are enforced, and how well. */
  readonly limits: Readonly<Record<'cpus' | 'memoryBytes' | 'openFiles' | 'processes', boolean>>;
  /** Which kinds of files it takes. */
  readonly files: Readonly<Record<SandboxFiles['kind'], boolean>>;
  readonly network: Readonly<Record<SandboxSpec['network'], boolean>>;
  readonly mounts: boolean;
  /** `SandboxSpec.fastSync` has effect; otherwise it changes nothing. */
  readonly fastSync: boolean;
  /** User ids in a root file system: all of them, or one to which every file seems to belong. */
  readonly userIds: 'all' | 'one';
  /** Where the directory of `HomeFiles.homeDir` is seen inside; undefined: where it is. */
  readonly homePath: string | undefined;
  /** Several environments at once; otherwise `prepare` throws `busy` while another is there. */
  readonly concurrent: boolean;
}

/** One environment. Plain data: it is written to a file. All paths are absolute. */
export interface SandboxSpec {
  /** `pomona-<fleet>-<worker id>`: the owned name of all that is made for it. */
  readonly name: string;
  readonly files: SandboxFiles;
  /**
   * A directory of the environment's own for what is needed around it. With `HomeFiles` it becomes
   * the job's TMPDIR where the system names no other.
   */
  readonly tmpDir: string;
  readonly mounts: readonly Mount[];
  /** `none`: the loopback device only. */
  readonly network: 'host' | 'none';
  /** Who commands run as, in `RootFiles`; undefined there: 0, and with `HomeFiles` always. */
  readonly user: { readonly uid: number; readonly gid: number } | undefined;
  readonly limits: Limits;
  /** Answer calls that wait for a disk (`fsync` and the like) at once: for what is thrown away. */
  readonly fastSync?: boolean;
}

export type SandboxFiles = HomeFiles | RootFiles;

/** The clone's directories in the host's own system. The job owns both. */
export interface HomeFiles {
  readonly kind: 'home';
  readonly homeDir: string;
  readonly prefixDir: string;
  /** Where the prefix is wanted inside, for sandboxes that can mount. */
  readonly prefixPath: string;
}

/** A whole root file system. Its files keep their owners; what is in its `/tmp` stays there. */
export interface RootFiles {
  readonly kind: 'root';
  readonly rootDir: string;
}

/**
 * Shows a directory or file of the host inside. What is missing of a directory's target is made
 * and stays; the place made for a file goes with the environment. Links in the target are followed
 * as the inside would, never out of it.
 */
export interface Mount {
  /**
   * A directory, which with `HomeFiles` is given to the job's user unless `readOnly`, and with
   * `RootFiles` belongs to whom the caller gave it; or a file (a secret), of which the job's user
   * gets a copy of mode 0400.
   */
  readonly source: string;
  /** As the inside sees it. */
  readonly target: string;
  readonly readOnly: boolean;
}

export interface SandboxCommand {
  readonly argv: readonly string[];
  /**
   * With `RootFiles` this is the whole environment, but for a PATH and a HOME where it has none;
   * with `HomeFiles` the environment's own variables are below it.
   */
  readonly env: Readonly<Record<string, string>>;
  /** It exists. Relative to the home directory; with `RootFiles` absolute. */
  readonly workDir: string;
  /**
   * The terminal that it is launched in is its own, so that job control and interrupts work. Only
   * for one that nobody else reads from.
   */
  readonly terminal?: boolean;
}

/** What to hand to `child_process.spawn`; stderr is already joined to stdout, in order. */
export interface Launch {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Host directory to start in. */
  readonly cwd: string;
  readonly uid?: number;
  readonly gid?: number;
  /**
   * When present, the command waits for a line on file descriptor 3: call this with the pid of the
   * started process, then write the line. It puts the process under its limits.
   */
  admit?(pid: number): Promise<void>;
  /**
   * When present, write this to file descriptor 3 after the line and close it. It may hold secrets.
   */
  readonly handed?: string;
}

export interface SandboxDriver {
  readonly name: string;
  readonly rank: number;
  /** Tries for real whether the sandbox works here: it runs a command in it. */
  probe(): Promise<DriverReport>;
  open(): Promise<Sandbox>;
}

/** Thrown by sandboxes for what a caller can do something about. */
export class SandboxError extends Error {
  /**
   * - `unsupported`: the sandbox lacks a capability that the spec needs
   * - `bad_mount`: a mount's source is missing, or its target cannot be there
   * - `bad_command`: a command that cannot be started as it is written
   * - `busy`: another environment holds what only one can have; try again when it is destroyed
   * - `not_prepared`: `prepare` was not called, or the environment was destroyed
   * - `unclean`: something of the environment could not be removed; `destroy` may be tried again
   */
  readonly code: 'unsupported' | 'bad_mount' | 'bad_command' | 'busy' | 'not_prepared' | 'unclean';
  readonly retryable: boolean;
  constructor(code: SandboxError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'SandboxError';
    this.code = code;
    this.retryable = code === 'busy' || code === 'unclean';
  }
}
