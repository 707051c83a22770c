import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import type { WorkerView } from '../../src/protocol/api/resources.ts';
import { Buildbot, noBuildbot } from '../buildbot.ts';
import { APP, githubConfig, startGithub, WEBHOOK_SECRET } from '../ci-fixture.ts';
import { FakeJenkins, TOKEN, USER } from '../fakes/jenkins/jenkins.ts';
import { freePort, kill, Pomona, until } from './pomona.ts';

const AGENT = fileURLToPath(new URL('../fakes/jenkins/agent.sh', import.meta.url));
const HOSTS = ['one', 'two', 'three'] as const;
const SLOTS = 4;
const GITHUB = 290;
const JENKINS = 110;
const NATIVE = 90;
const BUILDBOT = 10;

/** Numbers that look random and are the same in each run of a seed. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const skip = noBuildbot();

test(
  '500 jobs of four systems run once each over three hosts, while things break',
  { skip },
  async (t) => {
    const seed = Number(process.env['POMONA_TEST_SEED'] ?? Date.now() % 1_000_000);
    t.diagnostic(`seed ${seed}; POMONA_TEST_SEED repeats it`);
    const random = seeded(seed);
    const [github, jenkins] = [await startGithub(), await FakeJenkins.start()];
    const [pb, www] = [await freePort(), await freePort()];
    const buildbot = await Buildbot.make(
      pb,
      `
from buildbot.plugins import worker
c['workers'] = [worker.Worker(name, 'of-workers', max_builds=1) for name in ['mac-1', 'mac-2']]
# After faults it leaves a worker alone for twice as long each time, up to an hour.
for each in c['workers']: each.quarantine_max_timeout = 10
factory = util.BuildFactory([steps.ShellCommand(command=['sleep', '0.1'])])
c['builders'] = [util.BuilderConfig(name='builder', workernames=['mac-1', 'mac-2'], factory=factory)]`,
      www,
    );
    const pomona = await Pomona.make();
    const image = await mkdtemp(join(tmpdir(), 'pomona-image-'));
    await mkdir(join(image, 'home', 'bin'), { recursive: true });
    await cp(AGENT, join(image, 'home', 'bin', 'java'));
    const shared = { idle: '2s', lookEvery: '1s', routes: [{ labels: ['mac'], pool: 'macs' }] };
    const config = {
      pools: [{ name: 'macs', labels: ['mac'], image: 'ci', ready: 2, max: 40 }],
      integrations: [
        // A look at GitHub asks for each of its runs.
        githubConfig(github, { ...shared, lookEvery: '10s' }),
        {
          ...{ name: 'jenkins', kind: 'jenkins', url: jenkins.web.url, user: USER },
          ...{ token: 'JENKINS_TOKEN', java: '~/bin/java', ...shared },
        },
        {
          ...{ name: 'buildbot', kind: 'buildbot', url: `http://127.0.0.1:${www}` },
          ...{ master: `127.0.0.1:${pb}`, twistd: '/usr/bin/twistd3', ...shared },
          workers: [{ names: ['mac-1', 'mac-2'], password: 'WORKER_PASSWORD', labels: ['mac'] }],
        },
      ],
    };
    await writeFile(join(pomona.data, 'pomona.yaml'), stringify(config));
    const address = `127.0.0.1:${pomona.port}`;
    const serve = () => pomona.start(['serve', '--data', pomona.data, '--listen', address]);
    const agent = (name: string) =>
      pomona.start([
        ...['agent', 'run', '--controller', `http://${address}`, '--name', name],
        ...['--data', join(pomona.data, name), '--workers', String(SLOTS)],
        ...['--join-token-file', join(pomona.data, `${name}.join`)],
      ]);

    try {
      await buildbot.start();
      let controller = await serve();
      const secrets = {
        ...{ GH_APP_KEY: APP.privateKey, GH_WEBHOOK: WEBHOOK_SECRET },
        ...{ JENKINS_TOKEN: TOKEN, WORKER_PASSWORD: 'of-workers' },
      };
      for (const [name, input] of Object.entries(secrets)) {
        await pomona.run(['secret', 'set', name], { input });
      }
      const agents = new Map<string, ChildProcess>();
      for (const name of HOSTS) {
        await pomona.run(['token', 'join', '--output', join(pomona.data, `${name}.join`)]);
        agents.set(name, await agent(name));
        const data = join(pomona.data, name);
        const made = await pomona.run(['image', 'import', 'ci', image, '--agent-data', data]);
        assert.equal(made.code, 0, made.err);
      }
      const token = (await readFile(join(pomona.data, 'admin.token'), 'utf8')).trim();
      const call = async (path: string, init: RequestInit = {}) => {
        const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
        const answer = await fetch(`http://${address}/api/v1${path}`, { ...init, headers });
        return (await answer.json()) as { id?: string; items?: never[]; outcome?: string };
      };

      // A fifth of the webhooks is lost, a tenth comes twice, some come late.
      github.webhooks = {
        ...{ url: `http://${address}/webhooks/gh`, secret: WEBHOOK_SECRET },
        copies: () => [0, 0, 1, 1, 1, 1, 1, 1, 1, 2][Math.floor(random() * 10)] ?? 1,
        delay: () => (random() < 0.1 ? 500 : 0),
      };
      const jobs = Array.from({ length: GITHUB }, () =>
        github.hub.push({ repository: 'acme/app', labels: ['mac'], seconds: random() / 5 }),
      );
      const builds = Array.from({ length: JENKINS }, () =>
        jenkins.queue({ seconds: random() / 5 }),
      );
      const natives: string[] = [];
      for (let index = 0; index < NATIVE; index += 1) {
        const body = { command: ['sh', '-c', `echo run ${index}; sleep 0.1`], pool: 'macs' };
        const made = await call('/jobs', { method: 'POST', body: JSON.stringify(body) });
        natives.push(made.id ?? assert.fail('no job was made'));
      }
      for (let index = 0; index < BUILDBOT; index += 1) buildbot.request('builder');

      let over = false;
      let most = 0;
      // What each had done while both had more to do.
      const shares = { github: 0, jenkins: 0 };
      const watching = (async () => {
        while (!over) {
          const workers = await call('/workers?limit=1000').catch(() => undefined);
          const perHost = Map.groupBy(workers?.items ?? [], ({ hostName }: WorkerView) => hostName);
          for (const list of perHost.values()) most = Math.max(most, list.length);
          const waits = builds.filter(({ state }) => state === 'queued').length > SLOTS;
          if (waits && jobs.filter(({ status }) => status === 'queued').length > SLOTS) {
            shares.github = jobs.filter(({ status }) => status === 'completed').length;
            shares.jenkins = builds.filter(({ state }) => state === 'success').length;
          }
          await sleep(200);
        }
      })();
      let kills = 0;
      let calm = false;
      const breaking = (async () => {
        while (!over) {
          await sleep(6_000 + random() * 6_000);
          if (over || calm) return;
          kills += 1;
          const roll = random();
          if (roll < 0.3) {
            await kill(controller, 'SIGKILL');
            controller = await serve();
          } else if (roll < 0.6) {
            const name = HOSTS[Math.floor(random() * HOSTS.length)] ?? 'one';
            await kill(agents.get(name) ?? assert.fail(), 'SIGKILL');
            agents.set(name, await agent(name));
          } else if (roll < 0.8) {
            const kind = { status: 502, text: 'bad gateway' };
            github.web.trouble.push({ at: /runs|runners/, times: 2, kind });
            jenkins.web.trouble.push({ at: /queue|computer/, times: 2, kind });
          } else {
            github.web.trouble.push({ at: /generate-jitconfig/, kind: 'lost' });
            jenkins.web.trouble.push({ at: /doCreateItem/, kind: 'lost' });
          }
        }
      })();

      const succeeded = () => buildbot.builds().filter(({ results }) => results === 0).length;
      const open = () =>
        jobs.filter(({ status }) => status !== 'completed').length +
        builds.filter(({ state }) => state === 'queued' || state === 'running').length;
      try {
        await until('every job of GitHub and Jenkins is over', async () => open() === 0, 240_000);
        // A build there takes about as long as it is until the next fault: the rest goes in peace.
        calm = true;
        await until(
          'every build is over',
          async () => succeeded() >= BUILDBOT,
          180_000,
          () => JSON.stringify(buildbot.builds()),
        );
      } finally {
        over = true;
        await Promise.all([watching, breaking]);
        t.diagnostic(
          `${kills} faults; shares ${JSON.stringify(shares)}; ${most} workers on a host`,
        );
      }
      await until(
        'native jobs are over',
        async () => {
          const all = await Promise.all(natives.map((id) => call(`/jobs/${id}`)));
          return all.every(({ outcome }) => outcome === 'succeeded');
        },
        60_000,
      );
      assert.ok(jobs.every(({ starts, conclusion }) => starts === 1 && conclusion === 'success'));
      const wrong = builds.filter(({ starts, state }) => starts !== 1 || state !== 'success');
      assert.deepEqual(wrong, []);
      assert.equal(succeeded(), BUILDBOT);
      await until(
        'nothing is left registered',
        async () => github.hub.runners.size + jenkins.nodes.size === 0,
        60_000,
      );
      for (const names of [github.hub.everRegistered, jenkins.everCreated]) {
        assert.equal(new Set(names).size, names.length, 'a name was used twice');
      }
      assert.ok(most <= SLOTS, `${most} workers on a host with ${SLOTS} slots`);
      // How even their turns were is only told: it depends on which of them was broken for how long.
      // Shares of teams are checked by the simulation.
      assert.deepEqual([github.violations, github.web.wrong, jenkins.web.wrong], [[], [], []]);
    } finally {
      await pomona.remove();
      await buildbot.remove();
      await github.close();
      await jenkins.close();
      await rm(image, { recursive: true, force: true });
    }
  },
);
