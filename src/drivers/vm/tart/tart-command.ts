import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { tool, type Ended } from '../../../platform/tool.ts';
import { VmError } from '../vm.ts';

/** Missing, not running, or running already; any other failure is 1. */
export const NOT_IN_THAT_STATE = 2;

/** Of `tart list --format json`, what counts here. */
const listSchema = z.array(z.object({ Name: z.string(), Running: z.boolean() }));

/** An installation of macOS, at most. */
const SLOW_MS = 3 * 3_600_000;

const getSchema = z.object({ OS: z.string() });

/**
 * Tart with a home of the driver's own, `TART_HOME`: nobody else's machines are seen, and no clone or
 * pull of someone else waits for our lock. Whatever is in it stays until it is deleted.
 */
export class TartCommand {
  readonly home: string;
  readonly env: Readonly<Record<string, string>>;

  constructor(home: string) {
    this.home = home;
    // That it exists counts, whatever its value.
    this.env = { TART_HOME: home, TART_NO_AUTO_PRUNE: '1' };
  }

  /** As the user who runs this has it. */
  static ofUser(): TartCommand {
    return new TartCommand(process.env['TART_HOME'] ?? join(homedir(), '.tart'));
  }

  /** How many macOS guests of this home run, of those with a name that counts. */
  async runningMacos(counts: (name: string) => boolean = () => true): Promise<number> {
    let count = 0;
    for (const [name, runs] of await this.list()) {
      if (!runs || !counts(name)) continue;
      const { code, stdout } = await this.try('get', name, '--format', 'json');
      if (code === 0 && getSchema.parse(JSON.parse(stdout)).OS === 'darwin') count += 1;
    }
    return count;
  }

  /** Runs it to its end, whatever the end is. */
  try(...args: string[]): Promise<Ended> {
    return tool('tart', args, { env: this.env });
  }

  /** Runs what must succeed. Throws `VmError`. */
  async run(...args: string[]): Promise<string> {
    const { code, stdout, why } = await this.try(...args);
    if (code === 0) return stdout;
    throw new VmError('tool_failed', `tart ${args.join(' ')} failed (exit code ${code}): ${why}`);
  }

  /** The same, as long as it takes. */
  async slow(signal: AbortSignal, ...args: string[]): Promise<void> {
    const { code, why } = await tool('tart', args, { env: this.env, signal, timeoutMs: SLOW_MS });
    signal.throwIfAborted();
    if (code === 0) return;
    throw new VmError('tool_failed', `tart ${args.join(' ')} failed (exit code ${code}): ${why}`);
  }

  /** Local machines, and whether each runs. */
  async list(): Promise<ReadonlyMap<string, boolean>> {
    const json = await this.run('list', '--source', 'local', '--format', 'json');
    return new Map(listSchema.parse(JSON.parse(json)).map((vm) => [vm.Name, vm.Running]));
  }
}

/**
 * Whether what `tart run` printed is the limit of the system on macOS guests. Its exit code says
 * nothing: it is 0 for a guest that stopped with an error, too.
 */
export function isSlotLimit(printed: string): boolean {
  return /exceeds the system limit|VZErrorDomain[^\n]*Code=6\b|maximum supported number of active virtual machines/i.test(
    printed,
  );
}
