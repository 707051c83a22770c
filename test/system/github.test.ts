import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { CiJobView } from '../../src/protocol/api/ci-resources.ts';
import {
  allQuiet,
  githubConfig,
  integration,
  jobsOf,
  pomonaWith,
  POOLS,
  startGithub,
  WEBHOOK_SECRET,
  ciLink,
} from '../ci-fixture.ts';
import type { FakeGithub } from '../fakes/github/github.ts';
import type { FakeJob } from '../fakes/github/state.ts';
import { until, type Pomona } from './pomona.ts';

const MAC = ['self-hosted', 'macos-15', 'arm64'];

describe('GitHub Actions', () => {
  let github: FakeGithub;
  let pomona: Pomona;

  before(async () => {
    github = await startGithub();
    pomona = await pomonaWith({
      pools: POOLS,
      integrations: [githubConfig(github, { idle: '1s' })],
    });
    github.webhooks = { url: webhookUrl(pomona), secret: WEBHOOK_SECRET };
  });

  after(async () => {
    await pomona.remove();
    await github.close();
    assert.deepEqual(github.violations, []);
    assert.deepEqual(github.web.wrong, []);
  });

  test('the check says that nothing is missing', async () => {
    const ran = await pomona.run(['ci', 'check', 'gh']);
    assert.equal(ran.code, 0, ran.out);
    assert.match(ran.out, /ok {3}credential: App Iv23app\nok {3}runners: 0 of this fleet/);
  });

  test('a job runs on a runner of its own, and nothing of it is left', async () => {
    const job = github.hub.push({ repository: 'acme/app', labels: MAC, seconds: 0.2 });
    await completed(job);
    await allQuiet(pomona, github);
    assert.equal(job.conclusion, 'success');
    const [ours] = await jobsOf(pomona);
    assert.equal(ours?.outcome, 'succeeded');
    assert.equal(ours.reason, `it ran CI / ${job.name}`);
    const { url, title, integration: of } = (await ciLink(pomona, ours.id)) ?? assert.fail();
    assert.deepEqual([of, title], ['gh', `CI / ${job.name}`]);
    assert.match(url ?? '', new RegExp(`/acme/app/actions/runs/\\d+/job/${job.id}$`));
    const log = await pomona.run(['job', 'logs', ours.id]);
    assert.match(log.out, /Listening for Jobs\nRunning job: \d+\n/);
    const shown = JSON.stringify(await pomona.json(['job', 'show', ours.id]));
    assert.ok(!shown.includes(github.jitConfigOf(job.runner ?? assert.fail()).slice(0, 40)));
    const view = await integration(pomona);
    assert.equal(view.state, 'ok');
    assert.ok((view.startMs?.p50 ?? Infinity) < 30_000);
  });

  test('lost webhooks cost a delay, double and late ones nothing', async () => {
    const { webhooks } = github;
    assert.ok(webhooks !== undefined);
    const before = github.hub.everRegistered.length;
    webhooks.copies = (_action, { id }) => [0, 1, 3][id % 3] ?? 1;
    webhooks.delay = (action) => (action === 'queued' ? 400 : 0);
    const jobs = Array.from({ length: 9 }, () =>
      github.hub.push({ repository: 'acme/app', labels: MAC, seconds: 0.1 }),
    );
    await Promise.all(jobs.map((job) => completed(job)));
    await github.delivered();
    await allQuiet(pomona, github);
    delete webhooks.copies;
    delete webhooks.delay;
    assert.deepEqual(
      jobs.map(({ starts }) => starts),
      jobs.map(() => 1),
    );
    // A look and a webhook may overlap: a runner too many now and then, never one for each copy.
    const made = github.hub.everRegistered.length - before;
    assert.ok(made <= jobs.length + 4, `${made} runners for ${jobs.length} jobs`);
  });

  test('a delivery that is not signed, or signed with another secret, is refused', async () => {
    const url = webhookUrl(pomona);
    const id = randomUUID();
    assert.equal(await github.send('{}', { id, secret: 'another', url }), 401);
    const unsigned = await fetch(url, { method: 'POST', body: '{}' });
    assert.equal(unsigned.status, 401);
    // Nobody learns which integrations there are.
    const unknown = await fetch(url.replace('/gh', '/other'), { method: 'POST', body: '{}' });
    assert.deepEqual(await unknown.json(), await unsigned.json());
  });

  test('a delivery that comes again, or makes no sense, changes nothing', async () => {
    const secret = WEBHOOK_SECRET;
    const url = webhookUrl(pomona);
    assert.equal(await github.send('no json', { id: randomUUID(), secret, url }), 400);
    assert.equal(await github.send('{"action":"queued"}', { id: randomUUID(), secret, url }), 400);
    const jobs = (await jobsOf(pomona)).length;
    const old = [...github.hub.jobs.values()][0] ?? assert.fail();
    const stale = JSON.stringify({
      action: 'queued',
      repository: { full_name: old.run.repository },
      workflow_job: {
        ...{ id: old.id, run_id: old.run.id, run_attempt: 1, name: old.name, status: 'queued' },
        labels: MAC,
      },
    });
    assert.equal(await github.send(stale, { id: randomUUID(), secret, url }), 202);
    await until('a look after it', async () => (await integration(pomona)).state === 'ok');
    assert.equal((await jobsOf(pomona)).length, jobs);
  });

  test('what waits says what it waits for', async () => {
    const job = github.hub.push({ repository: 'acme/app', labels: ['self-hosted', 'macos-99'] });
    await until('it is known', async () => {
      const shown = await pomona.json<CiJobView[]>(['ci', 'jobs', 'gh']);
      const why = 'no pool takes a trusted job with the labels self-hosted, macos-99';
      return shown.some(({ reason }) => reason === why);
    });
    assert.equal((await integration(pomona)).jobs.unroutable, 1);
    github.hub.cancel(job);
    await until('it is gone', async () => (await integration(pomona)).jobs.queued === 0);
  });

  test("strangers' code runs in a pool for strangers alone", async () => {
    const job = github.hub.push({
      ...{ repository: 'acme/app', labels: MAC, event: 'pull_request' },
      ...{ headRepository: 'stranger/app', actor: 'stranger' },
    });
    await completed(job);
    await allQuiet(pomona, github);
    const [ours] = await jobsOf(pomona);
    assert.equal(ours?.pool, 'strangers');
  });

  test('a job that is cancelled before it starts frees its worker', async () => {
    // More than there are workers, so that some of them have none yet.
    const jobs = Array.from({ length: 12 }, () =>
      github.hub.push({ repository: 'acme/app', labels: MAC, seconds: 1 }),
    );
    await until('some run', async () => jobs.some(({ status }) => status === 'in_progress'));
    for (const job of jobs) if (job.status === 'queued') github.hub.cancel(job);
    await allQuiet(pomona, github);
    const { runners } = await integration(pomona);
    assert.deepEqual(
      Object.values(runners),
      Object.values(runners).map(() => 0),
    );
    assert.ok(jobs.every(({ starts }) => starts <= 1));
  });

  test('a runner that dies gets its job no second time, and its name is used once', async () => {
    const job = github.hub.push({ repository: 'acme/app', labels: MAC, ending: 'crash' });
    await until('it crashed', async () => job.runner !== undefined && job.seconds === 0);
    await until(
      'GitHub notices',
      async () => {
        github.hub.loseSilent();
        return job.status === 'completed';
      },
      30_000,
    );
    await allQuiet(pomona, github);
    assert.equal(job.conclusion, 'failure');
    assert.equal(job.starts, 1);
    const names = github.hub.everRegistered;
    assert.equal(new Set(names).size, names.length);
  });

  test('an answer that is lost leaves no runner behind, and the job gets another', async () => {
    github.web.trouble.push({ at: /generate-jitconfig/, kind: 'lost' });
    const job = github.hub.push({ repository: 'acme/app', labels: MAC });
    await completed(job);
    await allQuiet(pomona, github);
    assert.equal(job.conclusion, 'success');
  });

  test('trouble at GitHub delays jobs and harms none', async () => {
    const looking = [
      { status: 500, json: { message: 'Server Error' } },
      { status: 403, json: { message: 'slow down' }, headers: { 'retry-after': '1' } },
      { status: 200, text: 'not json' },
      { delayMs: 500 },
      'cut',
    ] as const;
    const registering = [
      { status: 502, text: '<html>Bad gateway</html>' },
      { status: 429, json: { message: 'too many' }, headers: { 'retry-after': '1' } },
      { status: 404, json: { message: 'Not Found' } },
      { status: 409, json: { message: 'Already exists' } },
      { status: 422, json: { message: 'Validation failed' } },
      { status: 201, json: { unexpected: true } },
      'lost',
    ] as const;
    for (const kind of looking) github.web.trouble.push({ at: /GET .*\/(runs|runners)/, kind });
    for (const kind of registering) github.web.trouble.push({ at: /generate-jitconfig/, kind });
    const jobs = Array.from({ length: 4 }, () =>
      github.hub.push({ repository: 'acme/app', labels: MAC, seconds: 0.1 }),
    );
    await Promise.all(jobs.map((job) => completed(job, 120_000)));
    await allQuiet(pomona, github);
    assert.ok(jobs.every(({ starts, conclusion }) => starts === 1 && conclusion === 'success'));
    github.web.trouble.length = 0;
  });

  test('a spent rate limit is told in words, ends nothing, and is over when it is over', async () => {
    const job = github.hub.push({ repository: 'acme/app', labels: MAC, seconds: 3 });
    await until('it runs', async () => job.status === 'in_progress');
    const { budget } = github;
    github.budget = 0;
    await until('the limit is seen', async () => {
      const { state, reason = '' } = await integration(pomona);
      return state === 'failing' && reason.includes('rate limit');
    });
    await completed(job);
    assert.equal(job.conclusion, 'success');
    github.budget = budget;
    await until('it is over', async () => (await integration(pomona)).state === 'ok');
    await allQuiet(pomona, github);
  });

  test('looks at what did not change cost no budget', async () => {
    await until('a look', async () => (await integration(pomona)).state === 'ok');
    await allQuiet(pomona, github);
    // What the last job changed is asked for once more.
    await until('a look that costs next to nothing', async () => {
      const before = github.budget;
      const asked = github.web.asked.length;
      await until('more requests', async () => github.web.asked.length > asked + 8);
      return before - github.budget <= 1;
    });
  });

  test('a killed controller takes its runners up again: each job runs once', async () => {
    const jobs = Array.from({ length: 10 }, () =>
      github.hub.push({ repository: 'acme/app', labels: MAC, seconds: 0.5 }),
    );
    for (const pause of [150, 400, 250]) {
      await new Promise((resolve) => setTimeout(resolve, pause));
      await pomona.killServers();
      await pomona.up();
    }
    await Promise.all(jobs.map((job) => completed(job, 120_000)));
    await allQuiet(pomona, github);
    assert.ok(jobs.every(({ starts }) => starts === 1));
    assert.ok(jobs.every(({ conclusion }) => conclusion === 'success'));
  });

  test('a deprecated runner pauses the integration until somebody resumes it', async () => {
    github.hub.deprecated = true;
    const job = github.hub.push({ repository: 'acme/app', labels: MAC });
    await until('it pauses', async () => (await integration(pomona)).state === 'paused');
    assert.match((await integration(pomona)).reason ?? '', /version is not accepted any more/);
    const registered = github.hub.everRegistered.length;
    const shown = await pomona.json<CiJobView[]>(['ci', 'jobs', 'gh']);
    assert.ok(shown.some(({ reason }) => /paused/.test(reason ?? '')));
    github.hub.deprecated = false;
    assert.equal(github.hub.everRegistered.length, registered);
    await pomona.run(['ci', 'resume', 'gh']);
    await completed(job);
    await allQuiet(pomona, github);
  });

  test('a program of the runner whose checksum is wrong is never used', async () => {
    const other = await startGithub();
    other.toldChecksum = 'f'.repeat(64);
    const apart = await pomonaWith({ pools: POOLS, integrations: [githubConfig(other)] });
    try {
      other.hub.push({ repository: 'acme/app', labels: MAC });
      await until('it is told', async () =>
        ((await integration(apart)).lastError?.message ?? '').includes('checksum'),
      );
      assert.ok([...other.hub.runners.values()].every(({ connected }) => !connected));
    } finally {
      await apart.remove();
      await other.close();
    }
  });
});

describe('the queue of a scale set', () => {
  let github: FakeGithub;
  let pomona: Pomona;

  before(async () => {
    github = await startGithub({ tokens: ['a-personal-token'] });
    const more = {
      ...{ app: undefined, token: 'GH_PAT', webhookSecret: undefined, scaleSet: 'macs' },
      ...{ trust: { unknown: 'trusted' }, lookEvery: '2s', idle: '1s' },
      routes: [{ labels: ['macs'], pool: 'macs' }],
    };
    const config = JSON.parse(JSON.stringify(githubConfig(github, more))) as object;
    pomona = await pomonaWith(
      { pools: POOLS, integrations: [config] },
      { GH_PAT: 'a-personal-token' },
    );
  });

  after(async () => {
    await pomona.remove();
    await github.close();
    assert.deepEqual(github.violations, []);
    assert.deepEqual(github.web.wrong, []);
  });

  function push(seconds = 0.2): FakeJob {
    return github.hub.push({ repository: 'acme/app', labels: ['macs'], seconds });
  }

  test('jobs come without a public address', async () => {
    await until('a session', async () => github.scaleSets.session !== undefined);
    const jobs = Array.from({ length: 5 }, () => push());
    await Promise.all(jobs.map((job) => completed(job)));
    await allQuiet(pomona, github);
    assert.ok(jobs.every(({ starts, conclusion }) => starts === 1 && conclusion === 'success'));
    assert.ok(github.hub.everRegistered.length <= jobs.length + 3);
  });

  test('tokens that end are renewed', async () => {
    github.scaleSets.pollsPerToken = 2;
    github.scaleSets.expire();
    await completed(push());
    await until('the queue is asked on', async () => github.scaleSets.session !== undefined);
    await completed(push());
    github.scaleSets.pollsPerToken = Number.POSITIVE_INFINITY;
    await allQuiet(pomona, github);
  });

  test('a controller that stops gives its session back, and goes on with the next', async () => {
    const jobs = [push(2), push(2)];
    await until('they run', async () => jobs.every(({ status }) => status === 'in_progress'));
    await pomona.stopServers();
    assert.equal(github.scaleSets.session, undefined);
    await pomona.up();
    await Promise.all(jobs.map((job) => completed(job)));
    await completed(push());
    await allQuiet(pomona, github);
    assert.ok(jobs.every(({ starts, conclusion }) => starts === 1 && conclusion === 'success'));
  });
});

describe('runners at every level', () => {
  const levels = [
    { what: 'a repository', description: 'api.github.com', level: { repository: 'acme/app' } },
    {
      what: 'an enterprise',
      description: 'ghec',
      level: { enterprise: 'acme-inc', repositories: ['acme/app', 'acme/gone'] },
    },
    {
      what: 'an organization of GitHub Enterprise Server',
      description: 'ghes-3.19',
      level: { organization: 'acme' },
    },
  ] as const;
  for (const { what, description, level } of levels) {
    test(what, async () => {
      const github = await startGithub({ description, tokens: ['a-personal-token'] });
      const server = description.startsWith('ghes');
      // A repository that is not there hides no other.
      const kind = { status: 404, json: { message: 'Not Found' } };
      github.web.trouble.push({ at: /acme\/gone/, times: 10_000, kind });
      const about = {
        ...{ name: 'gh', kind: 'github', url: github.web.url, token: 'GH_PAT' },
        ...level,
        ...{ runner: 'newest', lookEvery: '500ms', idle: '1s' },
        // Of Enterprise Server the API is found by itself.
        ...(server ? {} : { api: github.web.url }),
      };
      const pomona = await pomonaWith(
        { pools: POOLS, integrations: [about] },
        { GH_PAT: 'a-personal-token' },
      );
      try {
        const checked = await pomona.run(['ci', 'check', 'gh']);
        assert.equal(checked.code, 0, checked.out);
        const job = github.hub.push({ repository: 'acme/app', labels: MAC });
        await completed(job);
        await allQuiet(pomona, github);
        assert.deepEqual([job.starts, job.conclusion], [1, 'success']);
      } finally {
        await pomona.remove();
        await github.close();
      }
      assert.deepEqual([github.violations, github.web.wrong], [[], []]);
    });
  }
});

function webhookUrl(pomona: Pomona): string {
  return `http://127.0.0.1:${pomona.port}/webhooks/gh`;
}

async function completed(job: FakeJob, ms = 60_000): Promise<void> {
  await until(`job ${job.id} is done`, async () => job.status === 'completed', ms);
}
