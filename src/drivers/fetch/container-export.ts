import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { DriverReport } from '../../domain/host.ts';
import { isAlive, processIdentity } from '../../platform/process-table.ts';
import { tool } from '../../platform/tool.ts';
import { FetchError, type FetchDriver, type Fetcher, type FetchOptions } from './fetch.ts';
import { readTar } from './tar/read-tar.ts';
import { TreeWriter } from './tar/tree-writer.ts';

type Program = 'docker' | 'podman';

/** A pull may take as long as it takes. */
const PULL_MS = 6 * 3_600_000;
/** Which process a container was made for. */
const OWNER_LABEL = 'org.pomona.fetch';

/** What an image of Docker's is, as `docker export` gives it. */
export const dockerExportDriver = exportDriver('docker', 20);
/** What an image of Podman's is, as `podman export` gives it. */
export const podmanExportDriver = exportDriver('podman', 21);

function exportDriver(program: Program, rank: number): FetchDriver {
  const name = `${program}-export`;
  return {
    name,
    form: `${name}:IMAGE`,
    // What it has is the host's, not of who asks for a build there.
    readsHost: true,
    accepts: (ref) => ref.startsWith(`${name}:`),
    probe: () => probe(program, name, rank),
    open: () => new ExportFetcher(program, name),
  };
}

async function probe(program: Program, name: string, rank: number): Promise<DriverReport> {
  const found = await tool(program, ['info']).catch(() => undefined);
  if (found?.code === 0) {
    return { name, rank, available: true, detail: `bases are exported by ${program}` };
  }
  const detail = found === undefined ? `${program} is not installed` : firstLine(found.why);
  return { name, rank, available: false, detail };
}

class ExportFetcher implements Fetcher {
  readonly name: string;
  readonly #program: Program;

  constructor(program: Program, name: string) {
    this.#program = program;
    this.name = name;
  }

  async resolve(ref: string, signal: AbortSignal) {
    const image = ref.slice(this.name.length + 1);
    if (image === '' || image.startsWith('-')) {
      throw new FetchError('missing', `expected ${this.name}:IMAGE, not ${ref}`);
    }
    const here = await this.#inspect(image);
    const { id } = here ?? (await this.#pull(image, signal));
    return { digest: id, pinned: `${this.name}:${id}` };
  }

  async fetch(pinned: string, dir: string, { signal, onProgress }: FetchOptions) {
    const image = pinned.slice(this.name.length + 1);
    const found = await this.#inspect(image);
    if (found === undefined) {
      throw new FetchError('missing', `${this.#program} has no image ${image} any more`);
    }
    await this.#clean();
    const owner = encodeURIComponent((await processIdentity(process.pid)) ?? String(process.pid));
    // Never started, so what it would run does not matter; some images name nothing.
    const made = await this.#must('create', `--label=${OWNER_LABEL}=${owner}`, image, '/pomona');
    const container = made.trim();
    try {
      await this.#unpack(container, dir, { signal, onProgress }, found.bytes);
    } finally {
      await tool(this.#program, ['rm', '--force', container]);
    }
    return { layout: 'root', env: found.env } as const;
  }

  async #unpack(
    container: string,
    dir: string,
    { signal, onProgress }: FetchOptions,
    totalBytes: number | undefined,
  ): Promise<void> {
    // Podman opens its output by name, which works with a pipe and not with what Node gives it.
    const script = '{ "$0" export "$1"; echo "$?" >&3; } | cat';
    const child = spawn('sh', ['-c', script, this.#program, container], {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    });
    type Pipes = [null, Readable, Readable, Readable];
    const [, output, problems, status] = child.stdio as unknown as Pipes;
    const ended = Promise.all([text(status), text(problems), once(child, 'exit')]);
    let doneBytes = 0;
    output.on('data', (chunk: Buffer) => {
      doneBytes += chunk.length;
      onProgress({ doneBytes, totalBytes });
    });
    const writer = new TreeWriter(dir);
    try {
      await readTar(output, 'none', signal, (entry) => writer.write(entry));
    } finally {
      // What still writes ends by a broken pipe.
      output.destroy();
      const [code, why] = await ended;
      // Why it could not be read to its end.
      if (!signal.aborted && code.trim() !== '0' && why !== '') this.#fail('export', why);
    }
    await writer.finish();
  }

  async #inspect(image: string) {
    const { code, stdout, why } = await this.#run('image', 'inspect', image);
    if (code !== 0) {
      if (/no such|not known|not found|no image/i.test(why)) return undefined;
      this.#fail('image inspect', why);
    }
    const [said] = JSON.parse(stdout) as {
      Id: string;
      Size?: number;
      Config?: { Env?: string[] | null };
    }[];
    const id = (said?.Id ?? '').replace(/^(?!sha256:)/, 'sha256:');
    const pairs = (said?.Config?.Env ?? []).map((pair): [string, string] => {
      const at = pair.indexOf('=');
      return [pair.slice(0, at), pair.slice(at + 1)];
    });
    return { id, bytes: said?.Size, env: Object.fromEntries(pairs) };
  }

  async #pull(image: string, signal: AbortSignal): Promise<{ readonly id: string }> {
    const options = { timeoutMs: PULL_MS, signal };
    const { code, why } = await this.#run('pull', '--quiet', image, options);
    signal.throwIfAborted();
    if (code !== 0) {
      throw new FetchError('missing', `${this.#program} cannot pull ${image}: ${firstLine(why)}`);
    }
    const pulled = await this.#inspect(image);
    if (pulled !== undefined) return pulled;
    throw new FetchError('missing', `${this.#program} pulled ${image}, and has it not`);
  }

  /** Containers of processes that are gone. */
  async #clean(): Promise<void> {
    const listed = await this.#must('ps', '--all', '--quiet', `--filter=label=${OWNER_LABEL}`);
    for (const id of listed.split('\n').filter((line) => line !== '')) {
      const { code, stdout } = await this.#run('container', 'inspect', id);
      // Another process removed it meanwhile.
      if (code !== 0) continue;
      const [said] = JSON.parse(stdout) as { Config: { Labels: Record<string, string> } }[];
      const owner = decodeURIComponent(said?.Config.Labels[OWNER_LABEL] ?? '');
      if (!(await isAlive(owner))) await tool(this.#program, ['rm', '--force', id]);
    }
  }

  async #must(...args: string[]): Promise<string> {
    const { code, stdout, why } = await this.#run(...args);
    if (code !== 0) this.#fail(args[0] ?? '', why);
    return stdout;
  }

  async #run(...args: (string | { readonly timeoutMs: number; readonly signal: AbortSignal })[]) {
    const options = args.find((each) => typeof each === 'object') ?? {};
    const words = args.filter((each) => typeof each === 'string');
    try {
      return await tool(this.#program, words, options);
    } catch (cause) {
      const message = `${this.#program} is not installed; without it, name the image as the registry does`;
      throw new FetchError('unreachable', message, { cause });
    }
  }

  #fail(what: string, why: string): never {
    throw new FetchError('unreachable', `${this.#program} ${what}: ${firstLine(why)}`);
  }
}

function firstLine(why: string): string {
  return why.split('\n')[0] ?? '';
}
