import { spawn, type ChildProcess } from 'node:child_process';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { dueAt, Recipes } from '../images/recipes.ts';
import type { Logger } from '../platform/logger.ts';

const LOOK_EVERY_MS = 30_000;

/** The program that makes images anew whose time has come. */
export interface RebuildProgram {
  readonly file: string;
  readonly args: readonly string[];
}

/** Makes images of the schedule anew, one program at a time, as long as the agent runs. */
export class Rebuilds {
  readonly #recipes: Recipes;
  readonly #program: RebuildProgram;
  readonly #log: Logger;
  readonly #timer: NodeJS.Timeout;
  #child: ChildProcess | undefined;
  #looking: Promise<void> = Promise.resolve();

  constructor(imagesDir: string, program: RebuildProgram, log: Logger) {
    this.#recipes = new Recipes(imagesDir);
    this.#program = program;
    this.#log = log;
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS);
    this.#look();
  }

  /** Stops; what is under way is made another time. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
    this.#child?.kill('SIGTERM');
  }

  #look(): void {
    this.#looking = this.#startIfDue().catch((error: unknown) => {
      this.#log.log('error', 'images cannot be made anew', { error });
    });
  }

  async #startIfDue(): Promise<void> {
    if (this.#child !== undefined) return;
    const due = (await this.#recipes.all()).filter((recipe) => dueAt(recipe) <= Date.now());
    if (due.length === 0) return;
    const path = join(this.#recipes.dir, 'rebuild.log');
    const output = await open(path, 'w', 0o600);
    try {
      const child = spawn(this.#program.file, this.#program.args, {
        stdio: ['ignore', output.fd, output.fd],
        cwd: '/',
      });
      this.#child = child;
      const over = (how: unknown) => {
        this.#child = undefined;
        this.#log.log('info', 'making images anew is over', { ended: String(how), log: path });
      };
      child.once('error', over).once('exit', over);
    } finally {
      await output.close();
    }
  }
}
