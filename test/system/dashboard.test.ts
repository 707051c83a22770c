import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Browser } from 'playwright-core';
import type { AuditEntry } from '../../src/protocol/api/history-resources.ts';
import type { JobView, WorkerView } from '../../src/protocol/api/resources.ts';
import { logMark } from '../../src/protocol/log-marks.ts';
import { makeRoot, staticBusybox } from '../contract/root-file-system.ts';
import { noBrowser, Person, startBrowser } from '../dashboard-page.ts';
import { kill, Pomona, until } from './pomona.ts';

const CONFIG = `
pools:
  - { name: default, labels: [default], ready: 1, max: 4 }
  - { name: builds, kind: build }
  - { name: nowhere, labels: [nowhere], hostLabels: [rack=9], image: macos-26, ready: 1 }
integrations:
  - { name: gh, kind: github, organization: acme, token: GH_TOKEN, url: "http://127.0.0.1:9" }
prices: { currency: EUR, hosts: [{ perHour: 0.65 }] }
`;

/** Every page, by its address, with the heading that says that it is there. */
const PAGES: readonly (readonly [path: string, heading: string | RegExp])[] = [
  ['/', 'Fleet'],
  ['/jobs', 'Jobs'],
  ['/jobs?state=finished', 'Jobs'],
  ['/workers', 'Workers'],
  ['/pools', 'Pools'],
  ['/pools/default', 'default'],
  ['/images', 'Images'],
  ['/builds', 'Builds'],
  ['/capacity', 'Capacity and cost'],
  ['/admin', 'Admin'],
  ['/admin?tab=enrol', 'Admin'],
  ['/admin?tab=settings', 'Admin'],
  ['/admin?tab=tokens', 'Admin'],
  ['/admin?tab=secrets', 'Admin'],
  ['/admin?tab=audit', 'Admin'],
  ['/admin?tab=consoles', 'Admin'],
  ['/admin?tab=leaks', 'Admin'],
  ['/admin?tab=controllers', 'Admin'],
];

/** How a page is looked at, and what may be different then. */
const LOOKS: readonly (readonly [
  options: Parameters<typeof Person.come>[2],
  rules?: readonly string[],
])[] = [
  [{}],
  [{ dark: true }, ['color-contrast']],
  [{ width: 390 }, ['target-size', 'scrollable-region-focusable', 'color-contrast']],
];

describe('the dashboard', { skip: noBrowser, timeout: 600_000 }, () => {
  let pomona: Pomona;
  let controller: ChildProcess;
  let browser: Browser;
  let url = '';
  let token = '';
  const people: Person[] = [];

  before(async () => {
    pomona = await Pomona.make();
    await writeFile(join(pomona.data, 'pomona.yaml'), CONFIG);
    await serve();
    const join_ = join(pomona.data, 'join.token');
    const made = await pomona.run(['token', 'join', '--output', join_]);
    assert.equal(made.code, 0, made.err);
    url = `http://127.0.0.1:${pomona.port}`;
    await pomona.start([
      ...['agent', 'run', '--controller', url, '--join-token-file', join_, '--name', 'mini-1'],
      ...['--label', 'rack=1', '--data', join(pomona.data, 'agent')],
      ...['--build-store', `copy:${join(pomona.data, 'builds')}`],
    ]);
    token = await pomona.adminToken();
    browser = await startBrowser();
  });
  afterEach(async () => {
    for (const person of people.splice(0)) {
      await person.context.close();
      person.checkQuiet();
    }
  });
  after(async () => {
    await browser.close();
    await pomona.remove();
  });

  async function serve(): Promise<void> {
    controller = await pomona.start([
      ...['serve', '--data', pomona.data, '--listen', `127.0.0.1:${pomona.port}`],
    ]);
  }

  async function person(...options: [Parameters<typeof Person.come>[2]?]): Promise<Person> {
    const come = await Person.come(browser, url, ...options);
    people.push(come);
    return come;
  }

  /** Submits a job and returns its id. */
  async function submit(...args: string[]): Promise<string> {
    const { code, out, err } = await pomona.run(['run', '--detach', ...args]);
    assert.equal(code, 0, err);
    return out.trim();
  }

  async function finished(id: string): Promise<JobView> {
    const show = () => pomona.json<JobView>(['job', 'show', id]);
    await until(`${id} ends`, async () => (await show()).state === 'finished');
    return show();
  }

  test('asks who one is, says what is wrong with a token, and goes on to where one was going', async () => {
    const { page, ...me } = await person();
    await page.goto(`${url}/pools/default`);
    await page.getByRole('heading', { name: 'Sign in to Pomona' }).waitFor();
    await page.getByLabel('API token').fill('pomona_wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('alert').getByText('no API token that is valid').waitFor();
    await page.getByLabel('API token').fill(token);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { level: 1, name: 'default' }).waitFor();
    const [cookie] = await page.context().cookies();
    assert.deepEqual(
      [cookie?.name, cookie?.httpOnly, cookie?.sameSite],
      ['pomona_session', true, 'Lax'],
    );
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in to Pomona' }).waitFor();
    // A browser tells of each answer that refuses.
    const said = me.complaints.splice(0);
    assert.ok(
      said.every((text) => text.includes('401')),
      said.join('\n'),
    );
  });

  test('shows a host with its workers live, and drains it after saying what happens to its jobs', async () => {
    const me = await person();
    const { page } = me;
    await me.signIn(token);
    const tile = page.getByRole('article', { name: 'Host mini-1' });
    await tile.getByText('active').waitFor();
    await tile.getByRole('img', { name: /0 of \d+ places run jobs, 1 are ready/ }).waitFor();
    const id = await submit('--', 'sleep', '300');
    await tile.getByRole('img', { name: /1 of \d+ places run jobs/ }).waitFor();
    // All by keys: it is selected, asked for, and thought better of.
    await tile.getByRole('checkbox').focus();
    await page.keyboard.press('Space');
    await page.getByRole('button', { name: 'Drain' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Drain' }).click();
    const dialog = page.getByRole('dialog', { name: 'Drain mini-1?' });
    await dialog
      .getByText('1 running job is on this host now. Jobs that run there end by themselves')
      .waitFor();
    await me.checkAccess('the confirmation');
    await dialog.getByRole('button', { name: 'Drain' }).click();
    await tile.getByText('draining').waitFor();
    assert.equal((await pomona.json<JobView>(['job', 'show', id])).state, 'running');
    await page.getByRole('button', { name: 'Resume' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Resume' }).click();
    await tile.getByText('active').waitFor();
    await pomona.run(['job', 'cancel', id]);
    await finished(id);
  });

  test('finds hosts by name, label, state and trouble, and keeps that in the address', async () => {
    const me = await person();
    const { page } = me;
    await me.signIn(token);
    await page.getByLabel('Search').fill('rack=1');
    await page.getByRole('article', { name: 'Host mini-1' }).waitFor();
    await page.getByLabel('Search').fill('rack=7');
    await page.getByText('No host is like that').waitFor();
    assert.match(page.url(), /\?q=rack%3D7$/);
    await page.reload();
    await page.getByText('No host is like that').waitFor();
    await page.getByRole('button', { name: 'Show all' }).click();
    await page.getByLabel('Group by').selectOption('rack');
    await page.getByRole('heading', { name: 'rack=1 (1 host)' }).waitFor();
  });

  test('says in words what a job waits for', async () => {
    const id = await submit('--label', 'nowhere', '--title', 'a lonely job', '--', 'true');
    const me = await person();
    const { page } = me;
    await me.signIn(token, '/jobs?state=queued');
    const row = page.getByRole('row', { name: /a lonely job/ });
    await row.getByText(/pool nowhere/).waitFor();
    await row.getByRole('link', { name: 'a lonely job' }).click();
    await page.getByRole('heading', { name: 'Why it waits' }).waitFor();
    await page.getByText('Pool nowhere').first().waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('button', { name: 'Cancel the job' }).click();
    await page.getByText('cancelled', { exact: true }).waitFor();
    assert.equal((await finished(id)).outcome, 'cancelled');
  });

  test('shows a job’s log as it comes: colours, folds, lines to link to, search, download', async () => {
    const script = [
      'printf "\\033[31mred alert\\033[0m\\n"',
      'echo "::group::install"; for n in 1 2 3; do echo step $n; done; echo "::endgroup::"',
      'while [ ! -e go ]; do sleep 0.1; done; echo last; echo made > out.txt; exit 3',
    ].join('; ');
    const id = await submit(
      '--title',
      'colourful',
      '--artifact',
      '*.txt',
      '--',
      'sh',
      '-c',
      script,
    );
    const me = await person();
    const { page } = me;
    await me.signIn(token, `/jobs/${id}`);
    const log = page.getByRole('region', { name: 'Lines of the log' });
    const red = log.getByText('red alert');
    await red.waitFor();
    assert.match((await red.getAttribute('style')) ?? '', /^color: rgb\(/);
    await log.getByText('step 3').waitFor();
    await log.getByRole('button', { name: 'install' }).click();
    await log.getByText('step 3').waitFor({ state: 'detached' });
    await page.getByLabel('Search the log').fill('STEP 2');
    await page.getByText('1 of 1').waitFor();
    await page.getByRole('button', { name: 'Next' }).click();
    await log.getByText('step 2').waitFor();
    await log.getByRole('link', { name: 'Line 1', exact: true }).click();
    assert.match(page.url(), /#L1$/);
    await me.checkAccess('a job that runs');
    const [worker] = await pomona.json<WorkerView[]>(['worker', 'list', '--pool', 'default']);
    assert.ok(worker !== undefined);
    // The job waits for a file: a shell of its worker makes it.
    const opening = me.context.waitForEvent('page');
    await page
      .getByRole('link', { name: /^Shell/ })
      .first()
      .click();
    const shell = await opening;
    me.watch(shell);
    await shell.getByText('Open. What it shows is recorded.').waitFor();
    await shell.keyboard.type('echo from-the-shell; touch go; exit\n');
    await shell.getByText('Closed: the shell ended with 0').waitFor();
    await log.getByText('last').waitFor();
    await page.getByText('failed', { exact: true }).first().waitFor();
    await page.getByRole('heading', { name: 'Artifacts' }).waitFor();
    const downloading = page.waitForEvent('download');
    await page.getByRole('link', { name: 'out.txt' }).click();
    const artifact = await (await downloading).path();
    assert.equal(await readFile(artifact, 'utf8'), 'made\n');
    const logging = page.waitForEvent('download');
    await page.getByRole('link', { name: 'Download', exact: true }).click();
    assert.match(await readFile(await (await logging).path(), 'utf8'), /red alert[^]*last\n$/);
    await page.getByRole('button', { name: 'Run again' }).click();
    await page.waitForURL((address) => !address.pathname.endsWith(id));
    const again = new URL(page.url()).pathname.split('/').at(-1) ?? '';
    assert.equal((await pomona.json<JobView>(['job', 'show', again])).title, 'colourful');
    await pomona.run(['job', 'cancel', again]);
    await finished(again);

    await page.goto(`${url}/admin?tab=consoles`);
    const recorded = page.waitForEvent('download');
    await page
      .getByRole('link', { name: /asciicast/ })
      .first()
      .click();
    const cast = await readFile(await (await recorded).path(), 'utf8');
    const [head = '', ...events] = cast.trim().split('\n');
    assert.equal((JSON.parse(head) as { version: number }).version, 2);
    assert.match(events.join('\n'), /from-the-shell/);
  });

  test('keeps a job’s worker to be looked into after the job, until it is let go', async () => {
    const id = await submit(
      '--title',
      'to be kept',
      '--',
      'sh',
      '-c',
      'echo left > behind; sleep 4',
    );
    const me = await person();
    const { page } = me;
    await me.signIn(token, `/jobs/${id}`);
    await page.getByRole('button', { name: 'Keep the worker' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Keep it' }).click();
    await page.getByText('Its worker is kept; it goes').waitFor({ timeout: 30_000 });
    const opening = me.context.waitForEvent('page');
    await page
      .getByRole('link', { name: /^Shell/ })
      .first()
      .click();
    const shell = await opening;
    me.watch(shell);
    await shell.getByText('Open. What it shows is recorded.').waitFor();
    await shell.keyboard.type('cat behind\n');
    await shell
      .locator('.xterm-accessibility')
      .getByText('left', { exact: true })
      .first()
      .waitFor();
    await page.getByRole('button', { name: 'Let the worker go' }).click();
    await shell.getByText(/^Closed:/).waitFor();
    const { workerId } = await pomona.json<JobView>(['job', 'show', id]);
    await until('the worker is gone', async () => {
      const workers = await pomona.json<WorkerView[]>(['worker', 'list']);
      return !workers.some((each) => each.id === workerId);
    });
  });

  test('shows the steps of a build: what was cached, what was run, and each step’s log', async (t) => {
    const busybox = staticBusybox();
    if (busybox === undefined) return t.skip('there is no static busybox');
    const context = await mkdtemp(join(tmpdir(), 'pomona-context-'));
    t.after(() => rm(context, { recursive: true }));
    await mkdir(join(context, 'base'));
    makeRoot(join(context, 'base'), busybox);
    const place = { build: [], index: 9, of: 9 };
    const forged = logMark({ type: 'step', ...place, heading: 'forged' });
    await writeFile(join(context, 'base', 'mark'), forged);
    const spec = (more: string) =>
      [
        '((build deps ((from ./base) (shell /bin/sh -c) (run (shell "echo dep > /d"))))',
        '(from ./base) (shell /bin/sh -c) (run (shell "echo one > /a; echo said by one; cat /mark"))',
        `(copy (from (build deps)) (src /d) (dst /d)) ${more})`,
      ].join(' ');
    await writeFile(join(context, 'a.spec'), spec(''));
    const first = await pomona.run(['build', '--remote', join(context, 'a.spec')]);
    assert.equal(first.code, 0, first.err);
    assert.ok(!first.out.includes(forged.slice(0, 9)), 'marks are for pages');
    assert.match(first.out, /\u241b_pomona;/, 'what steps print is shown');
    await writeFile(join(context, 'a.spec'), spec('(run (shell "echo two"))'));
    assert.equal((await pomona.run(['build', '--remote', join(context, 'a.spec')])).code, 0);
    const me = await person();
    const { page } = me;
    await me.signIn(token, '/builds');
    await page.getByRole('link', { name: 'build a.spec' }).first().click();
    await page.getByText('6 steps: 5 cached, 1 run.').waitFor();
    assert.deepEqual(await page.getByRole('listitem').locator('code').allInnerTexts(), [
      ...['from ./base', 'run echo one > /a; echo said by one; cat /mark'],
      ...['[deps] from ./base', '[deps] run echo dep > /d', 'copy /d /d', 'run echo two'],
    ]);
    assert.equal(await page.locator('.rail path').count(), 1, 'the nested build leads into a step');
    const step = page.getByRole('listitem').filter({ hasText: 'echo one' });
    await step.getByText('cached').waitFor();
    await step.getByRole('button', { name: /^Log/ }).click();
    await step.getByText('said by one', { exact: true }).waitFor();
    await me.checkAccess('a build');
  });

  test('shows each page to someone who uses a screen reader, in the dark, or on a phone', async () => {
    for (const [options, rules] of LOOKS) {
      const me = await person(options);
      await me.signIn(token);
      for (const [path, heading] of PAGES) {
        await me.go(path);
        await me.heading(heading);
        await me.page.locator('.loading').first().waitFor({ state: 'detached' });
        await me.checkAccess(`${path} ${JSON.stringify(options)}`, rules);
        const wide = Number(
          await me.page.evaluate('document.documentElement.scrollWidth - innerWidth'),
        );
        assert.ok(wide <= 0, `${path} is ${wide} px wider than the window`);
      }
    }
  });

  test('adds a pool, and says of each field what is wrong with it', async () => {
    const me = await person();
    const { page } = me;
    await me.signIn(token, '/pools');
    await page.getByRole('button', { name: 'Add a pool' }).click();
    const dialog = page.getByRole('dialog', { name: 'Add a pool' });
    await dialog
      .getByLabel('Pool, as JSON')
      .fill('{ "name": "small", "ready": -1, "colour": "red" }');
    await dialog.getByRole('button', { name: 'Apply' }).click();
    await dialog.getByRole('listitem').filter({ hasText: 'ready:' }).waitFor();
    await dialog.getByRole('listitem').filter({ hasText: 'colour:' }).waitFor();
    await dialog.getByLabel('Pool, as JSON').fill('{ "name": "small", "max": 1 }');
    await dialog.getByRole('button', { name: 'Apply' }).click();
    await page.getByRole('link', { name: 'small' }).click();
    await page.getByRole('button', { name: 'Remove' }).click();
    await page.getByRole('button', { name: 'Remove the pool' }).click();
    await me.heading('Pools');
    await page.getByRole('link', { name: 'small' }).waitFor({ state: 'detached' });
    const said = me.complaints.splice(0);
    assert.ok(
      said.every((text) => text.includes('422')),
      said.join('\n'),
    );
  });

  test('asks the simulator about the jobs of the past, and draws its answer', async () => {
    await finished(await submit('--', 'true'));
    const me = await person();
    const { page } = me;
    await me.signIn(token, '/capacity');
    await page.getByRole('button', { name: 'Ask' }).click();
    const said = page
      .getByRole('region', { name: 'What if?' })
      .locator('[role=status], [role=alert]');
    await said.first().waitFor();
    assert.match(await said.first().innerText(), /hosts? are the fewest with p95 wait < 2m/);
    await page.getByRole('figure', { name: /^Jobs on \d+ hosts$/ }).waitFor();
    await me.checkAccess('an answer of the simulator');
  });

  test('makes a token that is shown once, and one who signed in with it is out when it is revoked', async () => {
    const me = await person();
    const { page } = me;
    await me.signIn(token, '/admin?tab=tokens');
    await page.getByRole('button', { name: 'Make a token' }).click();
    await page.getByLabel('Name').fill('vi');
    await page.getByRole('button', { name: 'Make it' }).click();
    const text = await page.getByLabel('The new token').innerText();
    await page.getByRole('button', { name: 'I have it' }).click();
    assert.equal(await page.getByText(text).count(), 0);
    const id = await submit('--title', 'seen by a viewer', '--', 'sleep', '300');

    const viewer = await person();
    await viewer.signIn(text, `/jobs/${id}`);
    await viewer.heading('seen by a viewer');
    assert.equal(await viewer.page.getByRole('button', { name: 'Cancel' }).count(), 0);
    assert.equal(await viewer.page.getByRole('link', { name: /^Shell/ }).count(), 0);
    await viewer.go('/');
    await viewer.page.getByRole('article', { name: 'Host mini-1' }).waitFor();
    assert.equal(await viewer.page.getByRole('checkbox').count(), 0);
    const refused = await viewer.page.evaluate(async (job) => {
      const session = (await (await fetch('/web/session')).json()) as { csrf: string };
      const headers = { 'pomona-csrf': session.csrf };
      const answer = await fetch(`/api/v1/jobs/${job}/cancel`, { method: 'POST', headers });
      return answer.status;
    }, id);
    assert.equal(refused, 403);
    const { workerId } = await pomona.json<JobView>(['job', 'show', id]);
    await viewer.go(`/console/${workerId}?kind=shell`);
    await viewer.page.getByText('your role is not operator').waitFor();
    await viewer.go('/admin?tab=tokens');
    await viewer.page.getByText('This needs another role').waitFor();

    await page.getByRole('button', { name: 'Revoke vi' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
    await page.getByText('The token is revoked.').waitFor();
    await viewer.go('/');
    await viewer.page.getByRole('heading', { name: 'Sign in to Pomona' }).waitFor();
    viewer.complaints.splice(0);

    await page.getByRole('link', { name: 'Audit log' }).click();
    await page.getByRole('cell', { name: 'revokeToken' }).first().waitFor();
    await pomona.run(['job', 'cancel', id]);
    await finished(id);
    const audit = await auditLog();
    assert.ok(!JSON.stringify(audit).includes(text), 'a token is in the audit log');
    assert.ok(audit.some(({ action, status }) => action === 'revokeToken' && status === 204));
    assert.ok(audit.some(({ who, action }) => who === 'vi' && action === 'signIn'));
  });

  test('sets a secret that nobody sees again, in no log either', async () => {
    const me = await person();
    const { page } = me;
    await me.signIn(token, '/admin?tab=secrets');
    await page.getByRole('button', { name: 'Set a secret' }).click();
    await page.getByLabel('Name').fill('NPM_TOKEN');
    await page.getByLabel(/^Value/).fill('sesame-open');
    await page.getByRole('button', { name: 'Set it' }).click();
    await page.getByRole('cell', { name: 'NPM_TOKEN', exact: true }).waitFor();
    assert.equal(await page.getByText('sesame-open').count(), 0);
    assert.ok(!JSON.stringify(await auditLog()).includes('sesame-open'));
  });

  async function auditLog(): Promise<AuditEntry[]> {
    const answer = await fetch(`${url}/api/v1/audit?limit=1000`, {
      headers: { authorization: `Bearer ${token}` },
    });
    return ((await answer.json()) as { items: AuditEntry[] }).items;
  }

  test('gives a command that lets another host join', async () => {
    const me = await person();
    const { page } = me;
    await me.signIn(token, '/admin?tab=enrol');
    await page.getByRole('button', { name: 'Make a join token' }).click();
    const commands = await page.getByLabel('Commands that let a host join').innerText();
    const [, joining = ''] = /TOKEN'\n(\S+)\nTOKEN/.exec(commands) ?? [];
    assert.match(joining, /^pomona_join_/);
    assert.match(commands, new RegExp(`--controller ${url} --join-token-file join.token`));
    const file = join(pomona.data, 'from-the-page.token');
    await writeFile(file, joining);
    const agent = await pomona.start([
      ...['agent', 'run', '--controller', url, '--join-token-file', file, '--name', 'mini-2'],
      ...['--data', join(pomona.data, 'agent-2')],
    ]);
    await page.getByRole('link', { name: /^Fleet/ }).click();
    await page.getByRole('article', { name: 'Host mini-2' }).waitFor();
    await kill(agent, 'SIGTERM');
    await page.getByRole('article', { name: 'Host mini-2' }).getByText('offline').waitFor();
    await pomona.run(['host', 'remove', 'mini-2']);
    await page.getByRole('article', { name: 'Host mini-2' }).waitFor({ state: 'detached' });
  });

  test('says that it is out of touch when the controller stops, and goes on when it is back', async () => {
    const id = await submit(
      '--title',
      'goes on',
      '--',
      'sh',
      '-c',
      'while :; do date +%N; sleep 0.5; done',
    );
    const me = await person();
    const { page } = me;
    await me.signIn(token, `/jobs/${id}`);
    await page
      .getByText(/[1-9]\d* lines?/)
      .first()
      .waitFor();
    await kill(controller, 'SIGKILL');
    await page.getByText('Out of touch; trying again').waitFor();
    await serve();
    await page.getByText('Live', { exact: true }).waitFor({ timeout: 30_000 });
    const linesNow = async () =>
      Number(/(\d+) line/.exec((await page.locator('.log-bar').textContent()) ?? '')?.[1]);
    const before = await linesNow();
    await until('the log goes on', async () => (await linesNow()) > before + 2);
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('button', { name: 'Cancel the job' }).click();
    await page.getByText('cancelled', { exact: true }).waitFor();
    // Without a controller requests fail, and browsers tell of each.
    me.complaints.splice(0);
  });
});
