import { spawn, type ChildProcess } from 'node:child_process';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageFetch } from '../domain/host.ts';
import { readJson } from '../platform/atomic-file.ts';
import type { Logger } from '../platform/logger.ts';

/** How often the remote is asked whether an image has other content now. */
const LOOK_EVERY_MS = 60_000;
const STATUS_EVERY_MS = 2_000;
/** How far is told in steps: each is news to the controller. */
const STEP_PERCENT = 10;

/** The program that brings images: it takes options and names after its arguments. */
export interface FetchProgram {
  readonly file: string;
  readonly args: readonly string[];
}

/** What the program writes while it works. */
interface Status {
  readonly name?: string;
  readonly percent?: number;
  readonly failed: readonly { readonly name: string; readonly reason: string }[];
}

/**
 * Brings the images that the host should have, ahead of the workers that are made from them: one program at
 * a time, again when other images are wanted, and regularly for new content.
 */
export class ImageFetches {
  readonly #program: FetchProgram;
  readonly #statusPath: string;
  readonly #logPath: string;
  readonly #log: Logger;
  readonly #changed: (fetches: readonly ImageFetch[]) => void;
  readonly #timer: NodeJS.Timeout;
  #wanted: readonly string[] = [];
  #told = '[]';
  #child: ChildProcess | undefined;
  #again = false;
  #closed = false;

  constructor(
    imagesDir: string,
    program: FetchProgram,
    log: Logger,
    changed: (fetches: readonly ImageFetch[]) => void,
  ) {
    this.#program = program;
    this.#statusPath = join(imagesDir, 'sync.json');
    this.#logPath = join(imagesDir, 'sync.log');
    this.#log = log;
    this.#changed = changed;
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  want(names: readonly string[]): void {
    if (JSON.stringify(names) === JSON.stringify(this.#wanted)) return;
    this.#wanted = names;
    this.#look();
  }

  /** Stops; a pull that is under way goes on from there another time. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#child?.kill('SIGTERM');
  }

  #look(): void {
    if (this.#closed || this.#wanted.length === 0) return;
    if (this.#child !== undefined) this.#again = true;
    else {
      this.#run().catch((error: unknown) => {
        this.#log.log('error', 'images cannot be brought', { error });
      });
    }
  }

  async #run(): Promise<void> {
    const output = await open(this.#logPath, 'w', 0o600);
    const { file, args } = this.#program;
    const child = spawn(file, [...args, '--status', this.#statusPath, '--', ...this.#wanted], {
      stdio: ['ignore', output.fd, output.fd],
      cwd: '/',
    });
    this.#child = child;
    await output.close();
    const watching = setInterval(() => void this.#tell(), STATUS_EVERY_MS);
    const over = (how: unknown) => {
      if (this.#child !== child) return;
      this.#child = undefined;
      clearInterval(watching);
      if (how !== 0) this.#log.log('warn', 'images were not all brought', { log: this.#logPath });
      void this.#tell();
      if (this.#again) {
        this.#again = false;
        this.#look();
      }
    };
    child.once('error', over).once('exit', over);
  }

  async #tell(): Promise<void> {
    const status = await readJson<Status>(this.#statusPath).catch(() => undefined);
    if (status === undefined) return;
    const fetches = status.failed.map(({ name, reason }) => ({
      name,
      detail: `bringing it failed: ${reason}`.slice(0, 1_000),
    }));
    const { name, percent = 0 } = status;
    if (name !== undefined && this.#child !== undefined) {
      const step = Math.floor(percent / STEP_PERCENT) * STEP_PERCENT;
      fetches.push({ name, detail: `it is being brought (${step} %)` });
    }
    const text = JSON.stringify(fetches);
    if (text === this.#told) return;
    this.#told = text;
    this.#changed(fetches);
  }
}
