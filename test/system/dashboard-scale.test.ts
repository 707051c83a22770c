import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright-core';
import type { HostView } from '../../src/protocol/api/host-resources.ts';
import { noBrowser, Person, startBrowser } from '../dashboard-page.ts';
import { kill, Pomona, until } from './pomona.ts';

const DIST = fileURLToPath(new URL('../../dist/dashboard/', import.meta.url));
const HOSTS = 2_000;
const CHANGES_A_SECOND = 20;
const WATCHED_S = 10;
const LINES = 200_000;

/** What the dashboard may cost. */
const MOST_SCRIPT_BYTES = 250 * 1024;
const FIRST_VIEW_MS = 1_000;
const MOST_OF_A_CORE = 0.3;
/** Another test may have the processor just then. */
const TRIES = 3;

const CONFIG = `
pools:
  - { name: default, labels: [default], ready: 0 }
  - { name: macs, labels: [macs], kind: vm, vm: synthetic, guest: linux, ready: 1000, max: 4000 }
`;

test('what has to be there before the page is seen is small', { skip: noBrowser }, async () => {
  const page = await readFile(join(DIST, 'index.html'), 'utf8');
  const scripts = [...page.matchAll(/(?:src|href)="\/(assets\/[^"]+\.js)"/g)].map(
    ([, path]) => path,
  );
  assert.ok(scripts.length > 0);
  let bytes = 0;
  for (const path of scripts) bytes += (await stat(join(DIST, `${path}.gz`))).size;
  assert.ok(bytes <= MOST_SCRIPT_BYTES, `${bytes} bytes, gzipped`);
  assert.doesNotMatch(page, /<script(?![^>]*src=)|<style|\son\w+=/, 'nothing is inline');
});

describe('the dashboard of a large fleet', { skip: noBrowser, timeout: 600_000 }, () => {
  let pomona: Pomona;
  let browser: Browser;
  let me: Person;
  let load: ChildProcess | undefined;
  let url = '';
  let token = '';

  before(async () => {
    pomona = await Pomona.make();
    url = `http://127.0.0.1:${pomona.port}`;
    await writeFile(join(pomona.data, 'pomona.yaml'), CONFIG);
    await pomona.start(['serve', '--data', pomona.data, '--listen', `127.0.0.1:${pomona.port}`]);
    const join_ = join(pomona.data, 'join.token');
    await pomona.run(['token', 'join', '--uses', String(HOSTS + 1), '--output', join_]);
    const agent = ['agent', 'run', '--controller', url, '--join-token-file', join_];
    await pomona.start([...agent, '--name', 'real', '--data', join(pomona.data, 'agent')]);
    const slots = ['--workers', '2', '--data', join(pomona.data, 'load')];
    load = pomona.spawn([...agent, '--name', 'load', '--synthetic', String(HOSTS), ...slots]);
    load.stdout?.resume();
    load.stderr?.resume();
    token = await pomona.adminToken();
    browser = await startBrowser();
    me = await Person.come(browser, url);
    await until(
      'all hosts are there',
      async () => (await pomona.json<HostView[]>(['host', 'list'])).length > HOSTS,
      180_000,
    );
    await me.signIn(token);
  });
  after(async () => {
    await browser.close();
    if (load !== undefined) await kill(load, 'SIGKILL');
    await pomona.remove();
  });

  test('is seen within a second', async () => {
    let best = Infinity;
    for (let n = 0; n < TRIES && best > FIRST_VIEW_MS; n += 1) {
      const begun = performance.now();
      await me.go('/');
      await me.page.getByRole('article').first().waitFor();
      best = Math.min(best, performance.now() - begun);
    }
    assert.ok(best <= FIRST_VIEW_MS, `${best.toFixed(0)} ms`);
  });

  test('draws only the hosts in sight, and all of them in turn', async () => {
    const { page } = me;
    await me.go('/');
    await page.getByText(`${(HOSTS + 1).toLocaleString()} hosts with`).waitFor();
    const drawn = await page.getByRole('article').count();
    assert.ok(drawn > 0 && drawn < 200, `${drawn} of ${HOSTS} are drawn`);
    await page.getByRole('region', { name: 'Hosts' }).evaluate((wall) => {
      wall.scrollTop = wall.scrollHeight;
    });
    await page.getByRole('article', { name: 'Host real' }).waitFor();
    await page.getByLabel('Search').fill('load-1234');
    await page.getByRole('article', { name: 'Host load-1234' }).waitFor();
    assert.equal(await page.getByRole('article').count(), 1);
  });

  test('takes little of a core while twenty hosts change each second, and shows each change', async () => {
    const { page } = me;
    await me.go('/');
    await page.getByRole('article').first().waitFor();
    const session = await browser.newBrowserCDPSession();
    const used = async () => {
      const { processInfo } = await session.send('SystemInfo.getProcessInfo');
      return processInfo.reduce((sum, { cpuTime }) => sum + cpuTime, 0);
    };
    const change = (n: number) => {
      const move = Math.floor(n / 100) % 2 === 0 ? 'cordon' : 'resume';
      return fetch(`${url}/api/v1/hosts/load-${(n % 100) + 1}/${move}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}` },
      });
    };
    let n = 0;
    let best = Infinity;
    for (let tried = 0; tried < TRIES && best > MOST_OF_A_CORE; tried += 1) {
      const [before, from] = [await used(), performance.now()];
      const answers: Promise<Response>[] = [];
      while (performance.now() - from < WATCHED_S * 1_000) {
        answers.push(change(n));
        n += 1;
        const wait = from + (answers.length * 1_000) / CHANGES_A_SECOND - performance.now();
        if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      }
      for (const answer of await Promise.all(answers)) assert.equal(answer.status, 200);
      const share = (await used()) - before;
      best = Math.min(best, share / ((performance.now() - from) / 1_000));
    }
    assert.ok(best <= MOST_OF_A_CORE, `${(best * 100).toFixed(0)} % of a core`);
    await change(n - (n % 200));
    await page
      .getByRole('article', { name: 'Host load-1', exact: true })
      .getByText('cordoned')
      .waitFor();
  });

  test('drains many hosts at once', async () => {
    const { page } = me;
    await me.go('/?q=load-19');
    await page.getByRole('button', { name: /^Select all/ }).click();
    await page.getByRole('button', { name: 'Drain' }).click();
    const dialog = page.getByRole('dialog', { name: /^Drain \d+ hosts\?$/ });
    await dialog.getByText(/and \d+ more/).waitFor();
    await dialog.getByRole('button', { name: /^Drain/ }).click();
    await page.getByText(/Drain: asked of \d+ hosts\./).waitFor();
    await page.getByRole('combobox', { name: 'State', exact: true }).selectOption('draining');
    await page.getByRole('article', { name: 'Host load-190', exact: true }).waitFor();
    me.checkQuiet();
  });

  test('scrolls through a log of 200,000 lines, finds a line in it and links to one', async () => {
    const ran = await pomona.run([
      ...['run', '--detach', '--label', 'default', '--title', 'talks'],
      ...['--', 'sh', '-c', `seq -f 'line %.0f of many' 1 ${LINES}`],
    ]);
    const id = ran.out.trim();
    const { page } = me;
    await me.go(`/jobs/${id}`);
    await page.getByText(`${LINES.toLocaleString()} lines`).waitFor({ timeout: 60_000 });
    const log = page.getByRole('region', { name: 'Lines of the log' });
    await log.evaluate((element) => {
      element.scrollTop = element.scrollHeight;
    });
    await log.getByText(`line ${LINES} of many`).waitFor();
    await log.evaluate((element) => {
      element.scrollTop = element.scrollHeight / 2;
    });
    await log
      .getByText(/line 1000\d\d of many/)
      .first()
      .waitFor();
    assert.ok((await log.locator('.log-line').count()) < 200, 'only lines in sight are drawn');
    await page.getByLabel('Search the log').fill('line 123456 of');
    await page.getByText('1 of 1').waitFor();
    await page.getByRole('button', { name: 'Next' }).click();
    await log.getByText('line 123456 of many').waitFor();
    await me.go(`/jobs/${id}#L150000`);
    await log.getByText('line 150000 of many').waitFor({ timeout: 60_000 });
    me.checkQuiet();
  });
});
