import type { DriverReport, Isolation } from '../../domain/host.ts';
import type { Limits } from '../../domain/worker.ts';

/**
 * A sandbox runs commands over one worker's clone: a home directory and a tools prefix.
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
   * Makes what commands need around the clone: a user, a cgroup, owners of files. When it throws,
   * `destroy` removes whatever was made.
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
   * files in shared places (`/tmp`, `/var/tmp`, `/dev/shm`, IPC). Calls `killAll` first.
   * Idempotent, also for a spec that was never prepared.
   */
  destroy(spec: SandboxSpec): Promise<void>;
}

export interface SandboxCapabilities {
  readonly isolation: Isolation;
  /** The image's prefix appears at `SandboxSpec.prefixPath`; otherwise only as `$POMONA_PREFIX`. */
  readonly mountsPrefix: boolean;
  /** Which limits are enforced, and how well. */
  readonly limits: Readonly<Record<'cpus' | 'memoryBytes' | 'openFiles' | 'processes', boolean>>;
}

/** One worker's environment. Plain data: it is written to a file. All paths are absolute. */
export interface SandboxSpec {
  /** `pomona-<fleet>-<worker id>`: the owned name of all that is made for it. */
  readonly name: string;
  /** The clone's directories. The job owns both. */
  readonly homeDir: string;
  readonly prefixDir: string;
  /** A directory of the worker's own for temporary files; becomes the job's TMPDIR. */
  readonly tmpDir: string;
  /** Where the prefix is wanted inside, for sandboxes that can mount. */
  readonly prefixPath: string;
  readonly limits: Limits;
}

export interface SandboxCommand {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Working directory relative to the home directory; it exists. */
  readonly workDir: string;
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
}

export interface SandboxDriver {
  readonly name: string;
  readonly rank: number;
  /** Tries for real whether the sandbox works here: it runs a command in it. */
  probe(): Promise<DriverReport>;
  open(): Promise<Sandbox>;
}
