import { execFile } from 'node:child_process';

/** No tool of the system that is used here takes long, unless it hangs. */
const TIMEOUT_MS = 20_000;
/** How long a killed tool may take to be gone; one that hangs in the kernel never is. */
const GONE_MS = 2_000;
const OUTPUT_BYTES = 2 ** 24;
/** Some tools complain once for each file. */
const WHY_CHARACTERS = 1000;

export interface ToolOptions {
  readonly cwd?: string;
  /** 20 s, unless told. */
  readonly timeoutMs?: number;
  readonly outputBytes?: number;
  /** An abort asks it to end (SIGTERM), which is waited for. */
  readonly signal?: AbortSignal;
  /** Beside the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Ended {
  /** Undefined when it was killed, as it is when its time is over. */
  readonly code: number | undefined;
  readonly stdout: string;
  /** What it printed to say why, for people. */
  readonly why: string;
}

/**
 * Runs a tool of the system to its end, which is bounded, also when it cannot be killed. Throws only
 * where it is not there.
 */
export function tool(
  file: string,
  args: readonly string[],
  { cwd, timeoutMs = TIMEOUT_MS, outputBytes = OUTPUT_BYTES, env, signal }: ToolOptions = {},
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const options = {
      ...(cwd === undefined ? {} : { cwd }),
      ...(env === undefined ? {} : { env: { ...process.env, ...env } }),
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
      maxBuffer: outputBytes,
      encoding: 'utf8',
    } as const;
    const late = `${file} did not end in ${timeoutMs / 1000} s`;
    const child = execFile(file, [...args], options, (error, stdout, stderr) => {
      clearTimeout(hung);
      signal?.removeEventListener('abort', stop);
      if (error === null) return resolve({ code: 0, stdout, why: shortened(stderr) });
      if (typeof error.code === 'string') return reject(error);
      const why = error.killed === true ? late : shortened(stderr);
      resolve({ code: error.code ?? undefined, stdout, why });
    });
    const stop = () => child.kill('SIGTERM');
    signal?.addEventListener('abort', stop);
    const hung = setTimeout(() => {
      child.unref();
      child.stdout?.destroy();
      child.stderr?.destroy();
      resolve({ code: undefined, stdout: '', why: `${late}, and cannot be killed` });
    }, timeoutMs + GONE_MS);
  });
}

function shortened(complaint: string): string {
  const text = complaint.trim();
  return text.length > WHY_CHARACTERS ? `${text.slice(0, WHY_CHARACTERS)} ...` : text;
}

/** Runs a tool that must succeed. */
export async function mustRun(
  file: string,
  args: readonly string[],
  options: ToolOptions = {},
): Promise<string> {
  const { code, stdout, why } = await tool(file, args, options);
  if (code === 0) return stdout;
  throw new Error(`${[file, ...args].join(' ')} failed (exit code ${code}): ${why}`);
}
