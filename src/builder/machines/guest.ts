import type { VmDriver } from '../../drivers/vm/vm.ts';
import { BuildError } from '../build-error.ts';
import { RUN_AS } from './guest-scripts.ts';

const SAID_CHARACTERS = 4_000;

/** One command of a step in a guest. */
export interface GuestCommand {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Made when it is not there; relative to the home of the user who is logged in. */
  readonly workDir: string;
  /** Empty: the user who is logged in. `#1:2`: ids. */
  readonly user: string;
  onOutput(chunk: Buffer): void | Promise<void>;
}

/** A running machine that a step is made in. Throws `VmError` when it is lost. */
export class Guest {
  readonly #driver: VmDriver;
  readonly #name: string;

  constructor(driver: VmDriver, name: string) {
    this.#driver = driver;
    this.#name = name;
  }

  run(command: GuestCommand, signal: AbortSignal): Promise<{ readonly exitCode: number }> {
    const { argv, env, workDir, user, onOutput } = command;
    const variables = Object.keys(env).join(',');
    return this.#driver.exec(
      this.#name,
      {
        argv: ['sh', '-c', RUN_AS, 'pomona', workDir, user, variables, ...argv],
        env,
        onOutput: async (chunk) => onOutput(Buffer.from(chunk)),
      },
      signal,
    );
  }

  /** Runs a script of our own and returns what it printed. Throws `BuildError` when it fails. */
  async script(
    script: string,
    args: readonly string[],
    signal: AbortSignal,
    user = '',
  ): Promise<string> {
    let said = '';
    const command: GuestCommand = {
      argv: ['sh', '-c', script, 'pomona', ...args],
      ...{ env: {}, workDir: '.', user },
      onOutput: (chunk) => void (said = (said + chunk.toString()).slice(-SAID_CHARACTERS)),
    };
    const { exitCode } = await this.run(command, signal);
    if (exitCode === 0) return said;
    throw new BuildError('machine', said.trim() || `a command ended with ${exitCode} in the guest`);
  }

  /** A path of the home as others see it. */
  async absolute(path: string, signal: AbortSignal): Promise<string> {
    return this.script('cd "$1" && pwd', [path], signal).then((said) => said.trim());
  }

  copyIn(dir: string, guestDir: string, signal: AbortSignal): Promise<void> {
    return this.#driver.copyIn(this.#name, dir, guestDir, signal);
  }

  copyOut(guestDir: string, dir: string, signal: AbortSignal): Promise<void> {
    return this.#driver.copyOut(this.#name, guestDir, dir, signal);
  }
}
