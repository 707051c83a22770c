import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { releaseUid } from '../../src/drivers/sandbox/worker-users.ts';
import { findProcesses, processIdentity } from '../../src/platform/process-table.ts';

const PROGRAM = fileURLToPath(new URL('../../bin/pomona', import.meta.url));

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface PomonaOptions {
  /** Run the program as this user and group; needs root. */
  readonly uid?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** The data directory; otherwise one of its own is made. */
  readonly data?: string;
}

/** Pomona as a user has it: the program's own processes on a data directory of the test's. */
export class Pomona {
  readonly data: string;
  readonly port: number;
  readonly #servers = new Set<ChildProcess>();
  readonly #options: PomonaOptions;

  static async make(options: PomonaOptions = {}): Promise<Pomona> {
    const data = options.data ?? (await mkdtemp(join(tmpdir(), 'pomona-system-')));
    await mkdir(data, { recursive: true });
    await chmod(data, 0o711);
    if (options.uid !== undefined) await chown(data, options.uid, options.uid);
    return new Pomona(data, await freePort(), options);
  }

  private constructor(data: string, port: number, options: PomonaOptions) {
    this.data = data;
    this.port = port;
    this.#options = options;
  }

  /** Starts a command that goes on, and returns once it says that it is ready. */
  async start(args: readonly string[]): Promise<ChildProcess> {
    const child = this.spawn(args);
    child.stdin?.end();
    this.#servers.add(child);
    let said = '';
    child.stderr?.on('data', (chunk) => (said += String(chunk)));
    const ready = (async () => {
      for await (const chunk of child.stdout ?? []) {
        said += String(chunk);
        if (said.includes('is ready')) return;
      }
      assert.fail(`pomona ${args[0]} ended: ${said}`);
    })();
    await withTimeout(ready, 30_000, () => `pomona ${args.join(' ')} did not get ready: ${said}`);
    child.stdout?.resume();
    return child;
  }

  up(): Promise<ChildProcess> {
    return this.start(['up', '--data', this.data, '--listen', `127.0.0.1:${this.port}`]);
  }

  /** Starts a command without waiting for anything. */
  spawn(args: readonly string[], env: Record<string, string> = {}): ChildProcess {
    const { uid } = this.#options;
    return spawn(PROGRAM, args, {
      env: { ...this.#env(), ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(uid === undefined ? {} : { uid, gid: uid }),
    });
  }

  /** Runs a command to its end. */
  async run(
    args: readonly string[],
    options: { input?: string; env?: Record<string, string>; ms?: number } = {},
  ): Promise<Ran> {
    const child = this.spawn(args, options.env);
    child.stdin?.end(options.input ?? '');
    let out = '';
    let err = '';
    child.stdout?.on('data', (chunk) => (out += String(chunk)));
    child.stderr?.on('data', (chunk) => (err += String(chunk)));
    const [code] = (await withTimeout(
      once(child, 'close'),
      options.ms ?? 90_000,
      () => `pomona ${args.join(' ')} did not end: ${out} ${err}`,
    )) as [number | null];
    return { code, out, err };
  }

  /**
   * What a command says with `--json`. What tests ask again and again is asked of the API, which is what
   * the command does: to start a program each time would take most of their time.
   */
  async json<T>(args: readonly string[]): Promise<T> {
    const path = apiPath(args);
    const answer = path === undefined ? undefined : await this.#get(path).catch(() => undefined);
    return (answer ?? (await this.cliJson(args))) as T;
  }

  /** What a command itself says with `--json`. */
  async cliJson<T>(args: readonly string[]): Promise<T> {
    const ran = await this.run([...args, '--json']);
    assert.equal(ran.code, 0, ran.err);
    return JSON.parse(ran.out) as T;
  }

  /** Undefined when it is not there, or more than one page. */
  async #get(path: string): Promise<unknown> {
    const headers = { authorization: `Bearer ${await this.adminToken()}` };
    const answer = await fetch(`http://127.0.0.1:${this.port}/api/v1${path}`, { headers });
    const body = (await answer.json()) as { items?: unknown; next?: unknown };
    return answer.ok && body.next === undefined ? (body.items ?? body) : undefined;
  }

  /** The token of the first administrator. */
  async adminToken(): Promise<string> {
    return (await readFile(join(this.data, 'admin.token'), 'utf8')).trim();
  }

  /** Kills the servers; what they started goes on. */
  async killServers(): Promise<void> {
    for (const server of this.#servers) await kill(server, 'SIGKILL');
    this.#servers.clear();
  }

  /** Asks the servers to end, and waits until they have. */
  async stopServers(): Promise<void> {
    for (const server of this.#servers) await kill(server, 'SIGTERM');
    this.#servers.clear();
  }

  /** Ends every server of this test and removes all of it. */
  async remove(): Promise<void> {
    for (const server of this.#servers) await kill(server, 'SIGKILL');
    for (const dir of await this.#allKeeperDirs()) {
      for (const pid of await findProcesses({ argument: dir })) process.kill(pid, 'SIGKILL');
      await releaseUid(basename(dir));
    }
    await rm(this.data, { recursive: true, force: true });
  }

  /** Directories of workers there are on the disk of the local agent. */
  async keeperDirs(agent = 'agent'): Promise<string[]> {
    const workers = join(this.data, agent, 'workers');
    const names = await readdir(workers).catch(() => []);
    return names.map((name) => join(workers, name));
  }

  async #allKeeperDirs(): Promise<string[]> {
    const parts = await readdir(this.data);
    return (await Promise.all(parts.map((part) => this.keeperDirs(part)))).flat();
  }

  #env(): Record<string, string> {
    const { PATH = '', HOME = '' } = process.env;
    return { PATH, HOME, POMONA_DATA: this.data, ...this.#options.env };
  }
}

/** Where the API tells what this command does. */
function apiPath([noun, verb, ...more]: readonly string[]): string | undefined {
  if (noun === 'job' && verb === 'show') return `/jobs/${more[0]}`;
  if (noun === 'job' && verb === 'list' && more.length === 2 && more[0] === '--limit') {
    return `/jobs?limit=${more[1]}`;
  }
  const lists = verb === 'list' && more.length === 0;
  return lists && (noun === 'worker' || noun === 'host') ? `/${noun}s?limit=1000` : undefined;
}

export async function kill(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  assert.ok(typeof address === 'object' && address !== null);
  return address.port;
}

/**
 * Waits for a condition, asking again and again, for a bounded time; `instead` tells what is there. It asks
 * less and less often: whoever asks takes the time of what is asked for.
 */
export async function until(
  what: string,
  condition: () => Promise<boolean>,
  ms = 30_000,
  instead: () => string = () => '',
): Promise<void> {
  const deadline = Date.now() + ms;
  for (let pause = 30; !(await condition()); pause = Math.min(400, pause * 1.3)) {
    assert.ok(Date.now() < deadline, `${what}: not within ${ms} ms ${instead()}`);
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/** Pids of living processes that carry this mark in their environment. */
export async function living(environment: string): Promise<number[]> {
  const alive: number[] = [];
  for (const pid of await findProcesses({ environment })) {
    if ((await processIdentity(pid)) !== undefined) alive.push(pid);
  }
  return alive;
}

async function withTimeout<T>(work: Promise<T>, ms: number, what: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(what())), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
