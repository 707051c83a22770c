import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { VmError } from './vm.ts';

/** What a VM has to show on its way up, in this order. */
export type RungName = 'process' | 'address' | 'port' | 'login' | 'command';

export interface Rung {
  readonly name: RungName;
  readonly timeoutMs: number;
  /** Undefined once it is reached; until then what is the matter, for people. */
  look(signal: AbortSignal): Promise<string | undefined>;
}

/** How long each rung may take at most: a first boot on a slow host, with room to spare. */
export const RUNG_TIMEOUTS_MS: Readonly<Record<RungName, number>> = {
  process: 30_000,
  address: 300_000,
  port: 300_000,
  login: 120_000,
  command: 60_000,
};

const SAID: Readonly<Record<RungName, string>> = {
  process: 'its process does not run',
  address: 'it has no network address',
  port: 'nothing listens for SSH',
  login: 'SSH lets nobody in',
  command: 'no command runs in it',
};

const FIRST_LOOK_MS = 50;
const SLOWEST_LOOK_MS = 1_000;

/**
 * Climbs rung by rung. `broken` is asked meanwhile and ends it when it says why nothing more will
 * come. Throws `VmError` `boot_failed` with the rung, the time and what was the matter last.
 */
export async function climb(
  vm: string,
  rungs: readonly Rung[],
  broken: () => Promise<string | undefined>,
  signal: AbortSignal,
): Promise<void> {
  for (const rung of rungs) {
    const begun = performance.now();
    for (let pause = FIRST_LOOK_MS; ; pause = Math.min(pause * 1.5, SLOWEST_LOOK_MS)) {
      signal.throwIfAborted();
      const matter = await rung.look(signal);
      if (matter === undefined) break;
      const end = await broken();
      if (end !== undefined) throw new VmError('boot_failed', `VM ${vm} did not boot: ${end}`);
      if (performance.now() - begun > rung.timeoutMs) {
        const seconds = Math.round(rung.timeoutMs / 1000);
        throw new VmError(
          'boot_failed',
          `VM ${vm} did not boot: after ${seconds} s ${SAID[rung.name]}: ${matter}`,
        );
      }
      await sleep(pause, undefined, { signal });
    }
  }
}

const BANNER_MS = 5_000;

/** Whether an SSH server answers there: undefined, or what is the matter. */
export function sshAnswers(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (matter?: string) => {
      socket.destroy();
      resolve(matter);
    };
    socket.setTimeout(BANNER_MS, () => end(`${host}:${port} says nothing`));
    socket.on('error', (error) => end(error.message));
    socket.on('close', () => resolve(`${host}:${port} hangs up`));
    socket.once('data', (data: Buffer) =>
      end(data.toString('latin1').startsWith('SSH-') ? undefined : `${host}:${port} is no SSH`),
    );
  });
}
