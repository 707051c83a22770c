import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  APP,
  integration,
  jobsOf,
  pomonaWith,
  POOLS,
  quiet,
  startGithub,
  WEBHOOK_SECRET,
  ciLink,
} from '../ci-fixture.ts';
import type { FakeGithub } from '../fakes/github/github.ts';
import { APP_ID, type FakeCheck } from '../fakes/github/checks.ts';
import { until, type Pomona } from './pomona.ts';

const PIPELINE = `
jobs:
  test:
    labels: [macos-15]
    run: |
      echo "in $(basename "$PWD")"
      cat answer
      test "$POMONA_REPOSITORY" = acme/app
      mkdir out && echo kept > out/file
    artifacts: ['out/*']
  fails:
    labels: [macos-15]
    on: [push]
    branches: [main]
    run: |
      echo before
      false
      echo never
`;

describe('a repository without a CI server', () => {
  let github: FakeGithub;
  let pomona: Pomona;

  before(async () => {
    github = await startGithub({ app: { ...APP, id: String(APP_ID) } });
    const native = {
      ...{ name: 'own', kind: 'native', url: github.web.url, api: github.web.url },
      ...{ organization: 'acme', app: { id: APP_ID, key: 'GH_APP_KEY' }, lookEvery: '1s' },
      ...{ webhookSecret: 'GH_WEBHOOK', secrets: ['DEPLOY_KEY'] },
    };
    pomona = await pomonaWith(
      { pools: POOLS, integrations: [native] },
      { DEPLOY_KEY: 'a-deploy-key', OTHER_KEY: 'another-key' },
    );
    github.checks.send = (event, body, id) => {
      const url = `http://127.0.0.1:${pomona.port}/webhooks/own`;
      return github.send(body, { id, event, secret: WEBHOOK_SECRET, url });
    };
    github.checks.permissions.set('maintainer', 'write');
  });

  after(async () => {
    await pomona.remove();
    await github.close();
    assert.deepEqual(github.violations, []);
    assert.deepEqual(github.web.wrong, []);
  });

  async function check(sha: string, name: string, status = 'completed'): Promise<FakeCheck> {
    await until(`${name} is ${status}`, async () => {
      return github.checks.of(sha)[`pomona / ${name}`]?.status === status;
    });
    return github.checks.of(sha)[`pomona / ${name}`] ?? assert.fail();
  }
  const clean = () => quiet(pomona, async () => true);

  test('the check says that nothing is missing', async () => {
    const ran = await pomona.run(['ci', 'check', 'own']);
    assert.equal(ran.code, 0, ran.out);
  });

  test('a push has its jobs run, each in a fresh worker with the commit, and says how they went', async () => {
    const sha = github.checks.commit({ '.pomona.yaml': PIPELINE, answer: '42\n' });
    assert.equal(await github.checks.push(sha), 202);
    const passed = await check(sha, 'test');
    assert.equal(passed.conclusion, 'success');
    assert.match(passed.output.text ?? '', /in acme-app-\w+\n42\n/);
    const failed = await check(sha, 'fails');
    assert.equal(failed.conclusion, 'failure');
    assert.match(failed.output.summary, /failed with exit code 1/);
    assert.match(failed.output.text ?? '', /before/);
    assert.doesNotMatch(failed.output.text ?? '', /never/);
    await clean();
    const jobs = await jobsOf(pomona);
    assert.equal(jobs.length, 2);
    const links = await Promise.all(jobs.map(async ({ id }) => (await ciLink(pomona, id))?.url));
    const shown = [passed, failed].map(
      ({ id }) => `https://github.example.org/acme/app/runs/${id}`,
    );
    assert.deepEqual(links.toSorted(), shown.toSorted(), 'each leads to its check');
    const artifacts = jobs.flatMap((job) => job.artifacts.map(({ path }) => path));
    assert.match(artifacts.join(), /^acme-app-\w+\/out\/file$/);
  });

  test('what is told twice runs once, also when a pull request tells of the same commit', async () => {
    const sha = github.checks.commit({ '.pomona.yaml': PIPELINE, answer: '' });
    const before = (await jobsOf(pomona)).length;
    await github.checks.push(sha, 'topic');
    await github.checks.push(sha, 'topic');
    const by = { login: 'octocat', association: 'MEMBER', repository: 'acme/app' };
    await github.checks.pullRequest(sha, by);
    await check(sha, 'test');
    await clean();
    assert.equal((await jobsOf(pomona)).length, before + 1);
  });

  test("a stranger's pull request waits for somebody who may write, and runs apart", async () => {
    const sha = github.checks.commit({ '.pomona.yaml': PIPELINE, answer: 'stranger\n' });
    const by = { login: 'stranger', association: 'NONE', repository: 'stranger/app' };
    await github.checks.pullRequest(sha, by);
    const asks = await check(sha, 'test');
    assert.equal(asks.conclusion, 'action_required');
    assert.equal(asks.actions[0]?.identifier, 'approve');
    // The stranger cannot let it run.
    await github.checks.press(asks, 'requested_action', 'stranger');
    await github.checks.press(asks, 'rerequested', 'stranger');
    assert.equal((await check(sha, 'test')).conclusion, 'action_required');
    await github.checks.press(asks, 'requested_action', 'maintainer');
    await until('it ran', async () => (await check(sha, 'test')).conclusion === 'success');
    await clean();
    const [ours] = await jobsOf(pomona);
    assert.equal(ours?.pool, 'strangers');
  });

  test('a job that is asked for again runs again', async () => {
    const sha = github.checks.commit({ '.pomona.yaml': PIPELINE, answer: '' });
    await github.checks.push(sha);
    const first = await check(sha, 'test');
    await github.checks.press(first, 'rerequested', 'maintainer');
    await until('another check', async () => (await check(sha, 'test')).id !== first.id);
    assert.equal((await check(sha, 'test')).conclusion, 'success');
    await clean();
  });

  test('only the secrets that are meant for repositories are given to trusted jobs', async () => {
    const asking = (name: string) =>
      `jobs:\n  key:\n    labels: [macos-15]\n    secrets: [${name}]\n    run: 'test -n "$${name}" && echo has $${name}'\n`;
    const mine = github.checks.commit({ '.pomona.yaml': asking('DEPLOY_KEY') });
    await github.checks.push(mine);
    const given = await check(mine, 'key');
    assert.equal(given.conclusion, 'success');
    assert.match(given.output.text ?? '', /has \*+/);
    const other = github.checks.commit({ '.pomona.yaml': asking('OTHER_KEY') });
    await github.checks.push(other);
    const refused = await check(other, 'key');
    assert.equal(refused.conclusion, 'failure');
    assert.match(refused.output.text ?? '', /OTHER_KEY, which is not among the `secrets`/);
    const by = { login: 'octocat', association: 'MEMBER', repository: 'octocat/app' };
    const fork = github.checks.commit({ '.pomona.yaml': asking('DEPLOY_KEY') });
    await github.checks.pullRequest(fork, by);
    assert.equal((await check(fork, 'key')).conclusion, 'failure');
    await clean();
  });

  test('a .pomona.yaml that cannot be read says where', async () => {
    const wrong = 'jobs:\n  test:\n    lables: [a]\n    run: x\n';
    const sha = github.checks.commit({ '.pomona.yaml': wrong });
    await github.checks.push(sha);
    const found = await check(sha, '.pomona.yaml');
    assert.equal(found.conclusion, 'failure');
    assert.match(found.output.summary, /jobs\.test: .*lables/);
    const none = github.checks.commit({ readme: '' });
    assert.equal(await github.checks.push(none), 202);
    assert.deepEqual(github.checks.of(none), {});
  });

  test('a job that is cancelled says so', async () => {
    const long = 'jobs:\n  long:\n    labels: [macos-15]\n    run: sleep 60\n';
    const sha = github.checks.commit({ '.pomona.yaml': long });
    await github.checks.push(sha);
    await check(sha, 'long', 'in_progress');
    const [ours] = await jobsOf(pomona);
    await pomona.run(['job', 'cancel', ours?.id ?? '']);
    assert.equal((await check(sha, 'long')).conclusion, 'cancelled');
    await clean();
  });

  test('an event that came while no controller answered is asked for again', async () => {
    const sha = github.checks.commit({ '.pomona.yaml': PIPELINE, answer: '' });
    await pomona.killServers();
    assert.equal(await github.checks.push(sha), 0);
    await pomona.up();
    assert.equal((await check(sha, 'test')).conclusion, 'success');
    await clean();
    assert.equal((await integration(pomona, 'own')).state, 'ok');
  });

  test('a killed controller goes on with its jobs, and each runs once', async () => {
    const slow = 'jobs:\n  slow:\n    labels: [macos-15]\n    run: sleep 2\n';
    const shas = Array.from({ length: 4 }, () => github.checks.commit({ '.pomona.yaml': slow }));
    const before = (await jobsOf(pomona)).length;
    for (const sha of shas) await github.checks.push(sha);
    await pomona.killServers();
    await pomona.up();
    for (const sha of shas) assert.equal((await check(sha, 'slow')).conclusion, 'success');
    await clean();
    const ran = (await jobsOf(pomona)).length - before;
    assert.equal(ran, shas.length);
  });
});
