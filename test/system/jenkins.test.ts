import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { integration, jobsOf, pomonaWith, quiet } from '../ci-fixture.ts';
import { FakeJenkins, TOKEN, USER, type FakeBuild } from '../fakes/jenkins/jenkins.ts';
import { until, type Pomona } from './pomona.ts';

const AGENT = fileURLToPath(new URL('../fakes/jenkins/agent.sh', import.meta.url));

const CONFIG = {
  pools: [
    { name: 'macs', labels: ['mac', 'mac15arm'], image: 'jenkins', ready: 1, max: 6 },
    { name: 'strangers', labels: ['mac'], image: 'jenkins', max: 4, trust: 'untrusted' },
  ],
};

describe('Jenkins', () => {
  let jenkins: FakeJenkins;
  let pomona: Pomona;
  let dir: string;

  before(async () => {
    jenkins = await FakeJenkins.start();
    dir = await mkdtemp(join(tmpdir(), 'pomona-jenkins-'));
    await mkdir(join(dir, 'home', 'bin'), { recursive: true });
    await cp(AGENT, join(dir, 'home', 'bin', 'java'));
    const about = {
      ...{ name: 'ci', kind: 'jenkins', url: jenkins.web.url, user: USER, token: 'JENKINS_TOKEN' },
      ...{ lookEvery: '300ms', idle: '1s', registerWithin: '5s', java: '~/bin/java' },
      nodeName: '{host}-{pool}-VM-{worker}',
    };
    const config = { ...CONFIG, integrations: [about] };
    pomona = await pomonaWith(config, { JENKINS_TOKEN: TOKEN });
    const imported = await pomona.run(['image', 'import', 'jenkins', dir]);
    assert.equal(imported.code, 0, imported.err);
  });

  after(async () => {
    await pomona.remove();
    await jenkins.close();
    await rm(dir, { recursive: true, force: true });
    assert.deepEqual(jenkins.violations, []);
    assert.deepEqual(jenkins.web.wrong, []);
    assert.equal(new Set(jenkins.everCreated).size, jenkins.everCreated.length);
  });

  async function clean(): Promise<void> {
    await quiet(pomona, async () => jenkins.nodes.size === 0);
  }

  test('the check says that nothing is missing', async () => {
    const ran = await pomona.run(['ci', 'check', 'ci']);
    assert.equal(ran.code, 0, ran.out);
    assert.match(ran.out, /ok {3}credential: user pomona\nok {3}queue: .*\nok {3}nodes: 0 of/);
  });

  test('a build has an agent of its own, whose node is gone after it', async () => {
    const build = jenkins.queue({ label: 'mac && mac15arm', seconds: 1 });
    await ended(build);
    await clean();
    assert.equal(build.state, 'success');
    assert.match(build.node ?? '', /^[\w.-]+-macs-VM-w-/);
    const [ours] = await jobsOf(pomona);
    assert.deepEqual([ours?.outcome, ours?.reason], ['succeeded', `it ran team/app #${build.id}`]);
    const log = await pomona.run(['job', 'logs', ours?.id ?? '']);
    assert.match(log.out, /INFO: Connected\nbuild \d+\n/);
  });

  test('a build too short to be seen has had its node for itself', async () => {
    const builds = Array.from({ length: 4 }, () => jenkins.queue({ seconds: 0 }));
    await Promise.all(builds.map((build) => ended(build)));
    await clean();
    assert.ok(builds.every(({ starts }) => starts === 1));
  });

  test('steps of pipelines, folders and labels go where they belong', async () => {
    const step = jenkins.queue({ pipeline: true, label: 'mac15arm' });
    const change = jenkins.queue({ project: 'team/app/PR-12' });
    await Promise.all([step, change].map((build) => ended(build)));
    await clean();
    const pools = (await jobsOf(pomona)).slice(0, 2).map(({ pool }) => pool);
    assert.deepEqual(pools.toSorted(), ['macs', 'strangers']);
  });

  test('a build that is aborted frees its worker, and a cancelled one needs none', async () => {
    const running = jenkins.queue({ seconds: 60 });
    await until('it runs', async () => running.state === 'running');
    const waiting = jenkins.queue({ label: 'mac' });
    jenkins.abort(running);
    jenkins.abort(waiting);
    await clean();
  });

  test('when Jenkins restarts the builds that run go on', async () => {
    const builds = [jenkins.queue({ seconds: 3 }), jenkins.queue({ seconds: 3 })];
    await until('they run', async () => builds.every(({ state }) => state === 'running'));
    await jenkins.restart(1_500);
    await Promise.all(builds.map((build) => ended(build)));
    await clean();
    assert.ok(builds.every(({ state, starts }) => state === 'success' && starts === 1));
  });

  test('a crumb that ran out is renewed', async () => {
    jenkins.renewCrumbs();
    await ended(jenkins.queue({}));
    await clean();
  });

  test('an agent that does not connect in time gives its machine back', async () => {
    const before = jenkins.everCreated.length;
    // The agent asks each second: it does not get through in its time.
    jenkins.web.trouble.push({ at: /_agent/, times: 7, kind: { status: 503 } });
    const build = jenkins.queue({});
    await ended(build);
    jenkins.web.trouble.length = 0;
    await clean();
    assert.ok(jenkins.everCreated.length >= before + 2);
    assert.equal(build.state, 'success');
  });

  test('trouble at Jenkins delays builds and harms none', async () => {
    const kinds = [
      { status: 500, text: '<html>Oops</html>' },
      { status: 403, text: '<html>Forbidden</html>' },
      { status: 200, text: '<html>a login page</html>' },
      'cut',
      'lost',
      { delayMs: 400 },
    ] as const;
    for (const kind of kinds) jenkins.web.trouble.push({ at: /queue|computer/, kind });
    const builds = Array.from({ length: 3 }, () => jenkins.queue({ seconds: 0.5 }));
    await Promise.all(builds.map((build) => ended(build, 90_000)));
    await clean();
    assert.ok(builds.every(({ starts, state }) => starts === 1 && state === 'success'));
  });

  test('a killed controller finds its agents again', async () => {
    const builds = Array.from({ length: 4 }, () => jenkins.queue({ seconds: 1 }));
    await until('one runs', async () => builds.some(({ state }) => state === 'running'));
    await pomona.killServers();
    await pomona.up();
    await Promise.all(builds.map((build) => ended(build, 90_000)));
    await clean();
    assert.ok(builds.every(({ starts, state }) => starts === 1 && state === 'success'));
    assert.equal((await integration(pomona, 'ci')).state, 'ok');
  });
});

async function ended(build: FakeBuild, ms = 60_000): Promise<void> {
  const over = async () => build.state !== 'queued' && build.state !== 'running';
  await until(`build ${build.id} is over`, over, ms);
}
