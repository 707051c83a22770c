import { open, type FileHandle } from 'node:fs/promises';

const MOST = 200;

interface Opened {
  readonly handle: Promise<FileHandle>;
  users: number;
}

/** Files kept open while they are worked on, a bounded number of them, by path. */
export class OpenFiles {
  readonly #flags: string;
  readonly #files = new Map<string, Opened>();

  /** @param flags as for `open`; the files exist */
  constructor(flags: 'r' | 'r+') {
    this.#flags = flags;
  }

  /** Calls `work` with the file's descriptor, which is good until it settles. */
  async use<T>(path: Buffer, work: (fd: number) => Promise<T>): Promise<T> {
    const key = path.toString('latin1');
    const opened = this.#files.get(key) ?? { handle: open(path, this.#flags), users: 0 };
    // The latest used comes last.
    this.#files.delete(key);
    this.#files.set(key, opened);
    opened.users += 1;
    try {
      return await work((await opened.handle).fd);
    } finally {
      opened.users -= 1;
      await this.#shrink(MOST);
    }
  }

  /** The same for several files at once. */
  useAll<T>(paths: readonly Buffer[], work: (fds: readonly number[]) => Promise<T>): Promise<T> {
    const [first, ...rest] = paths;
    if (first === undefined) return work([]);
    return this.use(first, (fd) => this.useAll(rest, (fds) => work([fd, ...fds])));
  }

  async close(): Promise<void> {
    await this.#shrink(0);
  }

  async #shrink(most: number): Promise<void> {
    for (const [key, { handle, users }] of this.#files) {
      if (this.#files.size <= most) return;
      if (users > 0) continue;
      this.#files.delete(key);
      await handle.then(
        (file) => file.close(),
        () => undefined,
      );
    }
  }
}
