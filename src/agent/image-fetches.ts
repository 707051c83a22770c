import { spawn, type ChildProcess } from 'node:child_process';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageFetch } from '../domain/host.ts';
import { readJson } from '../platform/atomic-file.ts';
import type { Logger } from '../platform/logger.ts';
import type { ImageTurns } from '../protocol/image-turns.ts';

/** How often the remote is asked whether an image has other content now. */
const LOOK_EVERY_MS = 60_000;
const STATUS_EVERY_MS = 2_000;
/** How often it is looked whether another host has brought what this one waits for. */
const WAIT_MS = 3_000;
/** A turn is kept by asking for it again. */
const RENEW_EVERY_MS = 30_000;
/** How far is told in steps: each is news to the controller. */
const STEP_PERCENT = 10;

/** The program that brings images: it takes options and names after its arguments. */
export interface FetchProgram {
  readonly file: string;
  readonly args: readonly string[];
}

/** How other hosts take part. */
export interface Sharing {
  /** Whose turn it is, and who gives chunks; throws when the controller does not answer. */
  turns(images: readonly string[]): Promise<ImageTurns>;
  /** What hosts prove themselves by to each other, once the controller has told it. */
  key(): Buffer | undefined;
}

/** What the program writes while it works. */
interface Status {
  readonly name?: string;
  readonly percent?: number;
  /** Images that other hosts are bringing, to be had of them after. */
  readonly waiting?: readonly string[];
  readonly failed: readonly { readonly name: string; readonly reason: string }[];
}

/**
 * Brings the images that the host should have, ahead of the workers that are made from them: one program at
 * a time, again when other images are wanted, and regularly for new content. Hosts take turns at the
 * remote, and give what they have to each other.
 */
export class ImageFetches {
  readonly #program: FetchProgram;
  readonly #statusPath: string;
  readonly #logPath: string;
  readonly #log: Logger;
  readonly #sharing: Sharing;
  readonly #changed: (fetches: readonly ImageFetch[]) => void;
  readonly #timer: NodeJS.Timeout;
  #wanted: readonly string[] = [];
  #told = '[]';
  #child: ChildProcess | undefined;
  /** From asking whose turn it is until that is told to be over. */
  #running = false;
  #again = false;
  #closed = false;

  constructor(
    imagesDir: string,
    program: FetchProgram,
    log: Logger,
    sharing: Sharing,
    changed: (fetches: readonly ImageFetch[]) => void,
  ) {
    this.#program = program;
    this.#statusPath = join(imagesDir, 'sync.json');
    this.#logPath = join(imagesDir, 'sync.log');
    this.#log = log;
    this.#sharing = sharing;
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
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    this.#run().catch((error: unknown) => {
      this.#running = false;
      this.#log.log('error', 'images cannot be brought', { error });
    });
  }

  async #run(): Promise<void> {
    const names = this.#wanted;
    const plan = await this.#plan(names);
    const output = await open(this.#logPath, 'w', 0o600);
    const { file, args } = this.#program;
    const options = ['--status', this.#statusPath, '--plan', '-'];
    const child = spawn(file, [...args, ...options, '--', ...names], {
      stdio: ['pipe', output.fd, output.fd],
      cwd: '/',
    });
    this.#child = child;
    await output.close();
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(JSON.stringify(plan));
    const watching = setInterval(() => void this.#tell(), STATUS_EVERY_MS);
    const renewing = setInterval(() => void this.#plan(names), RENEW_EVERY_MS);
    const over = (how: unknown) => {
      if (this.#child !== child) return;
      this.#child = undefined;
      clearInterval(watching);
      clearInterval(renewing);
      if (how !== 0) this.#log.log('warn', 'images were not all brought', { log: this.#logPath });
      void this.#end();
    };
    child.once('error', over).once('exit', over);
  }

  /** Without an answer of the controller a host brings what it needs by itself. */
  async #plan(names: readonly string[]): Promise<object> {
    const key = this.#sharing.key()?.toString('base64') ?? '';
    try {
      return { key, ...(await this.#sharing.turns(names)) };
    } catch (error) {
      this.#log.log('warn', 'images are brought without other hosts', { error });
      return { key, turns: names, peers: [] };
    }
  }

  async #end(): Promise<void> {
    await this.#plan([]);
    const status = await this.#tell();
    this.#running = false;
    if (this.#closed) return;
    if (this.#again) {
      this.#again = false;
      this.#look();
    } else if ((status?.waiting ?? []).length > 0) {
      setTimeout(() => this.#look(), WAIT_MS).unref();
    }
  }

  async #tell(): Promise<Status | undefined> {
    const status = await readJson<Status>(this.#statusPath).catch(() => undefined);
    if (status === undefined) return undefined;
    const fetches: ImageFetch[] = status.failed.map(({ name, reason }) => ({
      name,
      detail: `bringing it failed: ${reason}`.slice(0, 1_000),
    }));
    for (const name of status.waiting ?? []) {
      fetches.push({ name, detail: 'other hosts are bringing it; it comes from them' });
    }
    const { name, percent = 0 } = status;
    if (name !== undefined && this.#child !== undefined) {
      const step = Math.floor(percent / STEP_PERCENT) * STEP_PERCENT;
      fetches.push({ name, detail: `it is being brought (${step} %)`, share: step / 100 });
    }
    const text = JSON.stringify(fetches);
    if (text !== this.#told) {
      this.#told = text;
      this.#changed(fetches);
    }
    return status;
  }
}
