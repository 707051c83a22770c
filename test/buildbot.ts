import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const INTEGRATION = fileURLToPath(new URL('../integrations/buildbot', import.meta.url));
const TWISTD = '/usr/bin/twistd3';
const START_MS = 60_000;

/** Why no Buildbot can be run here; false when one can. */
export function noBuildbot(): string | false {
  for (const program of ['buildbot', 'buildbot-worker']) {
    if (spawnSync(program, ['--version']).error === undefined) continue;
    return `there is no ${program} (Debian: buildbot, buildbot-worker)`;
  }
  return existsSync(TWISTD) ? false : `there is no ${TWISTD} (Debian: python3-twisted)`;
}

export interface BuildbotBuild {
  readonly builder: string;
  readonly number: number;
  /** As Buildbot numbers them: 0 success, 2 failure, 4 exception, 5 retry; null: it runs. */
  readonly results: number | null;
  readonly state: string;
}

/** A master of Buildbot with its own directory, and nothing on the way to it but the loopback device. */
export class Buildbot {
  readonly #dir: string;
  readonly #port: number;
  #process: ChildProcess | undefined;

  /** `config`: Python that fills `c['workers']` and `c['builders']`. */
  static async make(port: number, config: string, www?: number): Promise<Buildbot> {
    const dir = await mkdtemp(join(tmpdir(), 'pomona-buildbot-'));
    const made = spawnSync('buildbot', ['create-master', '-q', dir], { encoding: 'utf8' });
    if (made.status !== 0) throw new Error(`buildbot create-master failed: ${made.stderr}`);
    await writeFile(
      join(dir, 'master.cfg'),
      `import sys
sys.path.insert(0, ${JSON.stringify(INTEGRATION)})
from buildbot.plugins import changes, schedulers, steps, util
from pomona_buildbot import PomonaLatentWorker
TWISTD = ${JSON.stringify(TWISTD)}
MASTER = '127.0.0.1:${port}'
c = BuildmasterConfig = {'collapseRequests': False, 'buildbotNetUsageData': None}
c['protocols'] = {'pb': {'port': 'tcp:${port}:interface=127.0.0.1'}}
${www === undefined ? '' : `c['www'] = {'port': 'tcp:${www}:interface=127.0.0.1', 'plugins': {}}`}
c['change_source'] = [changes.PBChangeSource(user='tester', passwd='of-tests')]
${config}
c['schedulers'] = [
    schedulers.AnyBranchScheduler(name=name, builderNames=[name], treeStableTimer=None,
        change_filter=util.ChangeFilter(category=name))
    for name in [builder.name for builder in c['builders']]
]
`,
    );
    await writeWebStub(join(dir, 'stub'));
    return new Buildbot(dir, port);
  }

  private constructor(dir: string, port: number) {
    this.#dir = dir;
    this.#port = port;
  }

  async start(): Promise<void> {
    const before = (await this.log()).length;
    const child = spawn(TWISTD, ['--nodaemon', '--pidfile=', '--no_save', '-y', 'buildbot.tac'], {
      ...{ cwd: this.#dir, stdio: 'ignore' },
      env: { ...process.env, PYTHONPATH: join(this.#dir, 'stub') },
    });
    this.#process = child;
    const deadline = performance.now() + START_MS;
    for (;;) {
      const log = (await this.log()).slice(before);
      if (log.includes('BuildMaster is running')) return;
      if (child.exitCode !== null || performance.now() > deadline) {
        throw new Error(`the master of Buildbot did not start: ${log.slice(-3_000)}`);
      }
      await sleep(100);
    }
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, 'exit');
  }

  /** Asks for one build of a builder. */
  request(builder: string, branch = 'main'): void {
    const to = ['--master', `127.0.0.1:${this.#port}`, '--auth', 'tester:of-tests'];
    const what = ['--who', 'tester', '--category', builder, '--branch', branch, 'a-file'];
    const sent = spawnSync('buildbot', ['sendchange', ...to, ...what], { encoding: 'utf8' });
    if (sent.status !== 0) throw new Error(`no change could be sent: ${sent.stdout}${sent.stderr}`);
  }

  builds(): BuildbotBuild[] {
    return this.#all<BuildbotBuild>(
      `SELECT builders.name AS builder, builds.number, builds.results, builds.state_string AS state
       FROM builds JOIN builders ON builders.id = builds.builderid ORDER BY builds.id`,
    );
  }

  /** Requests that have no result yet. */
  waiting(): number {
    return this.#all('SELECT id FROM buildrequests WHERE complete = 0').length;
  }

  log(): Promise<string> {
    return readFile(join(this.#dir, 'twistd.log'), 'utf8').catch(() => '');
  }

  async remove(): Promise<void> {
    await this.stop('SIGKILL');
    await rm(this.#dir, { recursive: true });
  }

  #all<Row>(sql: string): Row[] {
    const db = new DatabaseSync(join(this.#dir, 'state.sqlite'), {
      readOnly: true,
      timeout: 10_000,
    });
    try {
      return db.prepare(sql).all() as Row[];
    } finally {
      db.close();
    }
  }
}

/** Debian has no `buildbot-www`, and a master serves HTTP only where something has that name. */
async function writeWebStub(dir: string): Promise<void> {
  const info = join(dir, 'stub_www-1.0.dist-info');
  await mkdir(join(dir, 'stub_www', 'static'), { recursive: true });
  await mkdir(info);
  const application =
    "from buildbot.www.plugin import Application\nep = Application(__name__, 'stub', ui=False)\n";
  await writeFile(join(dir, 'stub_www', '__init__.py'), application);
  await writeFile(join(dir, 'stub_www', 'VERSION'), '1.0\n');
  await writeFile(join(info, 'METADATA'), 'Metadata-Version: 2.1\nName: stub-www\nVersion: 1.0\n');
  await writeFile(join(info, 'entry_points.txt'), '[buildbot.www]\nbase = stub_www:ep\n');
}
