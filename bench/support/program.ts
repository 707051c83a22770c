import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ApiClient } from '../../src/cli/api-client.ts';
import { findConnection } from '../../src/cli/connection.ts';
import type { JobView } from '../../src/protocol/api/resources.ts';

const POMONA = fileURLToPath(new URL('../../bin/pomona', import.meta.url));

/** Pomona as a user has it, on a data directory of its own. */
export class Program {
  readonly data: string;
  readonly #children: ChildProcess[] = [];
  #client: ApiClient | undefined;

  static async make(config: string): Promise<Program> {
    const data = await mkdtemp(join(tmpdir(), 'pomona-bench-'));
    await chmod(data, 0o711);
    await writeFile(join(data, 'pomona.yaml'), config);
    return new Program(data);
  }

  private constructor(data: string) {
    this.data = data;
  }

  get client(): ApiClient {
    if (this.#client === undefined) throw new Error('no controller was started');
    return this.#client;
  }

  /** Starts `up` or `serve`; returns its pid. */
  async controller(command: 'up' | 'serve'): Promise<number> {
    const pid = await this.#start([command, '--data', this.data, '--listen', '127.0.0.1:0']);
    this.#client = new ApiClient(await findConnection(this.data));
    return pid;
  }

  /** Starts an agent that takes so many workers; returns its pid. */
  agent(workers: number): Promise<number> {
    return this.#agent(1, ['--data', join(this.data, 'agent'), '--workers', String(workers)]);
  }

  /** Starts a process with so many pretended hosts; returns its pid. */
  syntheticHosts(count: number, workersEach: number): Promise<number> {
    return this.#agent(count, [
      ...['--data', join(this.data, 'hosts'), '--synthetic', String(count)],
      ...['--workers', String(workersEach)],
    ]);
  }

  async #agent(uses: number, args: readonly string[]): Promise<number> {
    const { token } = await this.client.call('createJoinToken', { body: { uses } });
    const file = join(this.data, 'join.token');
    await writeFile(file, token, { mode: 0o600 });
    const { url } = this.client.connection;
    const to = ['--controller', url, '--join-token-file', file, '--name', 'bench'];
    return this.#start(['agent', 'run', ...to, ...args]);
  }

  async #start(args: readonly string[]): Promise<number> {
    const child = spawn(POMONA, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#children.push(child);
    let said = '';
    child.stderr?.on('data', (chunk) => (said = (said + String(chunk)).slice(-4000)));
    for await (const chunk of child.stdout ?? []) {
      if (String(chunk).includes('is ready') && child.pid !== undefined) return child.pid;
    }
    throw new Error(`pomona ${args[0]} ended: ${said}`);
  }

  /** Ends it all, workers included. */
  async remove(): Promise<void> {
    if (this.#client !== undefined) {
      const { items } = await this.client.call('listHosts', { query: { limit: 1_000 } });
      await Promise.all(
        items.map(({ name }) => this.client.call('drainHost', { params: { name } })),
      );
      await until(async () => (await this.client.call('listWorkers', {})).items.length === 0);
    }
    for (const child of this.#children.toReversed()) {
      child.kill('SIGTERM');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    await rm(this.data, { recursive: true });
  }
}

/** A job and when its submitter knew what, in ms since it began to submit. */
export interface TimedJob {
  readonly view: JobView;
  readonly knownFinishedMs: number;
}

/** Submits a job and waits until it is finished. */
export async function runJob(
  client: ApiClient,
  pool: string,
  command: readonly string[] = ['true'],
): Promise<TimedJob> {
  const begun = performance.now();
  const { id } = await client.call('submitJob', { body: { command: [...command], pool } });
  for (;;) {
    const view = await client.call('getJob', { params: { id }, query: { wait: 60_000 } });
    if (view.state !== 'finished') continue;
    if (view.outcome !== 'succeeded') {
      throw new Error(`job ${id} did not succeed: ${view.outcome} ${view.reason ?? ''}`);
    }
    return { view, knownFinishedMs: performance.now() - begun };
  }
}

/** Waits until every pool has its ready workers and nothing else goes on. */
export function settled(client: ApiClient): Promise<void> {
  return until(async () => {
    const { items } = await client.call('listPools', {});
    const busy = await client.call('listWorkers', {});
    return (
      items.every((pool) => pool.counts.ready >= pool.spec.ready) &&
      busy.items.every((worker) => worker.state === 'ready')
    );
  });
}

export async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 120_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error('it did not settle within two minutes');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
