import { execFile } from 'node:child_process';

/** No tool of the system that is used here takes long, unless it hangs. */
const TIMEOUT_MS = 20_000;
const OUTPUT_BYTES = 2 ** 24;

export interface Ended {
  /** Undefined when it was killed, as it is after 20 s. */
  readonly code: number | undefined;
  readonly stdout: string;
  /** What it printed to say why, for people. */
  readonly why: string;
}

/** Runs a tool of the system to its end, which is bounded. Throws only where it is not there. */
export function tool(file: string, args: readonly string[]): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const options = {
      timeout: TIMEOUT_MS,
      killSignal: 'SIGKILL',
      maxBuffer: OUTPUT_BYTES,
      encoding: 'utf8',
    } as const;
    execFile(file, [...args], options, (error, stdout, stderr) => {
      if (error === null) return resolve({ code: 0, stdout, why: stderr.trim() });
      if (typeof error.code === 'string') return reject(error);
      const late = error.killed === true ? `${file} did not end in ${TIMEOUT_MS / 1000} s` : '';
      resolve({ code: error.code ?? undefined, stdout, why: late || stderr.trim() });
    });
  });
}

/** Runs a tool that must succeed. */
export async function mustRun(file: string, args: readonly string[]): Promise<string> {
  const { code, stdout, why } = await tool(file, args);
  if (code === 0) return stdout;
  throw new Error(`${[file, ...args].join(' ')} failed (exit code ${code}): ${why}`);
}
