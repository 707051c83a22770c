import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { until } from './program.ts';

const run = promisify(execFile);
const MASTER = '/usr/bin/buildbot';
const WORKER = '/usr/bin/buildbot-worker';

/** When the submitter of a build knew of its start and end, in ms since it began to submit. */
export interface TimedBuild {
  readonly startedMs: number;
  readonly finishedMs: number;
}

/**
 * Undefined when Buildbot can be used here, or else why not. As root on Debian it is installed.
 */
export async function whyNoBuildbot(): Promise<string | undefined> {
  try {
    await run(MASTER, ['--version']);
    await run(WORKER, ['--version']);
    return undefined;
  } catch {
    if (process.getuid?.() !== 0) return 'Buildbot is not installed, and this is not root';
  }
  try {
    await run('apt-get', ['update', '-qq']);
    const packages = ['--no-install-recommends', 'buildbot', 'buildbot-worker'];
    await run('apt-get', ['install', '-y', '-qq', ...packages], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      maxBuffer: 2 ** 26,
    });
    return undefined;
  } catch (error) {
    return `the packages buildbot and buildbot-worker cannot be installed: ${(error as Error).message.slice(0, 300)}`;
  }
}

/**
 * A master and, unless another brings it, its one idle worker, whose build is the one command `true`, forced through the master's
 * own HTTP API and followed by its event stream: no client program is started for a build.
 */
export class Buildbot {
  readonly #dir: string;
  readonly #url: string;
  /** Its web server, and `HOST:PORT` for workers. */
  readonly web: string;
  readonly master: string;
  readonly #children: ChildProcess[] = [];
  readonly #stop = new AbortController();
  /** Told of each event, by the id of its build request. */
  readonly #heard = new Map<number, (kind: 'started' | 'finished', at: number) => void>();
  /** Events of build requests whose id is not known yet. */
  readonly #early = new Map<number, ['started' | 'finished', number][]>();
  #builderId = 0;

  /** `worker: 'others'`: somebody else starts the worker `w1` with the password `pw`. */
  static async start({
    worker = 'local',
  }: { worker?: 'local' | 'others' } = {}): Promise<Buildbot> {
    const dir = await mkdtemp(join(tmpdir(), 'pomona-buildbot-'));
    const [www, pb] = [await freePort(), await freePort()];
    const buildbot = new Buildbot(dir, www, pb);
    try {
      await buildbot.#start(www, pb, worker === 'local');
      return buildbot;
    } catch (error) {
      await buildbot.remove();
      throw error;
    }
  }

  private constructor(dir: string, www: number, pb: number) {
    this.#dir = dir;
    this.web = `http://127.0.0.1:${www}`;
    this.master = `127.0.0.1:${pb}`;
    this.#url = `${this.web}/api/v2`;
  }

  async version(): Promise<string> {
    const { stdout } = await run(MASTER, ['--version']);
    return /Buildbot version: (\S+)/.exec(stdout)?.[1] ?? 'unknown';
  }

  async #start(www: number, pb: number, local: boolean): Promise<void> {
    const [master, worker, stub] = ['master', 'worker', 'stub'].map((name) =>
      join(this.#dir, name),
    ) as [string, string, string];
    await writeStub(stub);
    const env = { PATH: process.env['PATH'] ?? '', HOME: this.#dir, PYTHONPATH: stub };
    await run(MASTER, ['create-master', '-q', master], { env });
    await writeFile(join(master, 'master.cfg'), masterConfig(www, pb));
    await run(WORKER, ['create-worker', '-q', worker, `127.0.0.1:${pb}`, 'w1', 'pw'], { env });
    const programs = [
      [MASTER, master],
      [WORKER, worker],
    ] as const;
    for (const [file, dir] of local ? programs : programs.slice(0, 1)) {
      this.#children.push(spawn(file, ['start', '--nodaemon', dir], { env, stdio: 'ignore' }));
    }
    await until(async () => {
      const answer = await this.#get('/workers').catch(() => undefined);
      const workers = answer?.['workers'] as { connected_to: unknown[] }[] | undefined;
      const connected = workers?.some((each) => each.connected_to.length > 0) === true;
      return local ? connected : workers !== undefined && workers.length > 0;
    });
    const { builders } = (await this.#get('/builders')) as { builders: { builderid: number }[] };
    this.#builderId = builders[0]?.builderid ?? 0;
    await this.#listen();
  }

  /** Forces one build and waits for its end. */
  async build(): Promise<TimedBuild> {
    const begun = performance.now();
    const response = await fetch(`${this.#url}/forceschedulers/force`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        ...{ jsonrpc: '2.0', id: 1, method: 'force' },
        params: { builderid: this.#builderId, reason: '', owner: 'bench' },
      }),
    });
    const answer = (await response.json()) as { result?: [number, Record<string, number>] };
    const request = Object.values(answer.result?.[1] ?? {})[0];
    if (request === undefined) throw new Error(`no build was forced: ${JSON.stringify(answer)}`);
    const { promise, resolve } = Promise.withResolvers<TimedBuild>();
    let startedMs = Number.NaN;
    const heard = (kind: 'started' | 'finished', at: number) => {
      if (kind === 'started') startedMs = at - begun;
      else resolve({ startedMs, finishedMs: at - begun });
    };
    this.#heard.set(request, heard);
    for (const [kind, at] of this.#early.get(request) ?? []) heard(kind, at);
    this.#early.delete(request);
    return promise.finally(() => this.#heard.delete(request));
  }

  async #listen(): Promise<void> {
    const url = this.#url.replace('/api/v2', '/sse/listen/builds/*/*');
    const response = await fetch(url, { signal: this.#stop.signal });
    void this.#follow(response).catch((error: unknown) => {
      if (!this.#stop.signal.aborted) throw error;
    });
  }

  async #follow(response: Response): Promise<void> {
    let text = '';
    for await (const chunk of response.body ?? []) {
      const at = performance.now();
      text += Buffer.from(chunk).toString();
      const lines = text.split(/\r?\n/);
      text = lines.pop() ?? '';
      for (const line of lines) if (line.startsWith('data: {')) this.#take(line.slice(6), at);
    }
  }

  #take(data: string, at: number): void {
    const event = JSON.parse(data) as { key: string[]; message: Record<string, unknown> };
    const word = event.key.at(-1);
    const kind = word === 'new' ? 'started' : word;
    if (kind !== 'started' && kind !== 'finished') return;
    const request = Number(event.message['buildrequestid']);
    if (kind === 'finished' && event.message['results'] !== 0) {
      throw new Error(`a build did not succeed: ${data}`);
    }
    const hear = this.#heard.get(request);
    if (hear !== undefined) return hear(kind, at);
    this.#early.set(request, [...(this.#early.get(request) ?? []), [kind, at]]);
  }

  async #get(path: string): Promise<Record<string, unknown>> {
    return (await (await fetch(this.#url + path)).json()) as Record<string, unknown>;
  }

  async remove(): Promise<void> {
    this.#stop.abort();
    for (const child of this.#children.toReversed()) {
      child.kill('SIGTERM');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    await rm(this.#dir, { recursive: true });
  }
}

/** Debian has no `buildbot-www`, and the master serves HTTP only where something has that name. */
async function writeStub(dir: string): Promise<void> {
  await mkdir(join(dir, 'bench_www', 'static'), { recursive: true });
  await writeFile(
    join(dir, 'bench_www', '__init__.py'),
    "from buildbot.www.plugin import Application\nep = Application(__name__, 'stub', ui=False)\n",
  );
  await writeFile(join(dir, 'bench_www', 'VERSION'), '1.0\n');
  const info = join(dir, 'bench_www-1.0.dist-info');
  await mkdir(info);
  await writeFile(join(info, 'METADATA'), 'Metadata-Version: 2.1\nName: bench-www\nVersion: 1.0\n');
  await writeFile(join(info, 'entry_points.txt'), '[buildbot.www]\nbase = bench_www:ep\n');
}

function masterConfig(www: number, pb: number): string {
  return `from buildbot.plugins import schedulers, steps, util, worker
c = BuildmasterConfig = {}
c['workers'] = [worker.Worker('w1', 'pw')]
c['protocols'] = {'pb': {'port': 'tcp:${pb}:interface=127.0.0.1'}}
c['schedulers'] = [schedulers.ForceScheduler(name='force', builderNames=['b'])]
f = util.BuildFactory([steps.ShellCommand(command=['true'])])
c['builders'] = [util.BuilderConfig(name='b', workernames=['w1'], factory=f)]
c['collapseRequests'] = False
c['buildbotNetUsageData'] = None
c['db'] = {'db_url': 'sqlite:///state.sqlite'}
c['www'] = {'port': 'tcp:${www}:interface=127.0.0.1', 'plugins': {}}
`;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port to be had');
  return address.port;
}
