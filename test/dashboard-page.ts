import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import type { AxeResults } from 'axe-core';

const CHROMIUM = '/usr/bin/chromium';
const BUILT = fileURLToPath(new URL('../dist/dashboard/index.html', import.meta.url));

/** Why no page can be looked at here; false: they can. */
export const noBrowser = !existsSync(CHROMIUM)
  ? 'Chromium is not installed (Debian: apt-get install chromium)'
  : !existsSync(BUILT)
    ? 'the dashboard was not built (npm run build)'
    : false;

const AXE = readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** WCAG 2.2 AA, and what comes before it. */
const WCAG = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

export function startBrowser(): Promise<Browser> {
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  return chromium.launch({ executablePath: CHROMIUM, args });
}

/** A person's browser, on the dashboard of a controller. What its pages complain of is kept. */
export class Person {
  readonly page: Page;
  readonly context: BrowserContext;
  readonly complaints: string[] = [];
  readonly #foreign: string[] = [];
  readonly #url: string;

  static async come(
    browser: Browser,
    url: string,
    options: { readonly width?: number; readonly dark?: boolean } = {},
  ): Promise<Person> {
    const { width = 1300, dark = false } = options;
    const context = await browser.newContext({
      viewport: { width, height: 900 },
      colorScheme: dark ? 'dark' : 'light',
      acceptDownloads: true,
    });
    return new Person(context, await context.newPage(), url);
  }

  private constructor(context: BrowserContext, page: Page, url: string) {
    this.context = context;
    this.page = page;
    this.#url = url;
    this.watch(page);
  }

  /** Keeps what a page complains of, and what it asks of others than its own origin. */
  watch(page: Page): void {
    page.on('pageerror', (error) => this.complaints.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error') this.complaints.push(message.text());
    });
    page.on('request', (request) => {
      const { origin, protocol } = new URL(request.url());
      if (protocol !== 'data:' && origin !== this.#url) this.#foreign.push(request.url());
    });
  }

  async go(path: string): Promise<void> {
    await this.page.goto(this.#url + path);
  }

  async signIn(token: string, path = '/'): Promise<void> {
    await this.go(path);
    await this.page.getByLabel('API token').fill(token);
    await this.page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await this.page.getByRole('navigation', { name: 'Pages' }).waitFor();
  }

  async heading(name: string | RegExp): Promise<void> {
    await this.page.getByRole('heading', { level: 1, name }).waitFor();
  }

  /** Fails with what is hard to use for some on this page, as axe finds it. Default: all of WCAG 2.2 AA. */
  async checkAccess(what: string, rules?: readonly string[]): Promise<void> {
    const { page } = this;
    const runOnly =
      rules === undefined ? { type: 'tag', values: WCAG } : { type: 'rule', values: rules };
    await page.evaluate(await AXE);
    const { violations } = (await page.evaluate(
      `axe.run(document, { runOnly: ${JSON.stringify(runOnly)} })`,
    )) as AxeResults;
    const said = violations.map(({ id, help, nodes }) => {
      const where = nodes
        .slice(0, 3)
        .map(({ html, failureSummary }) => `${html}: ${failureSummary}`);
      return `${id}: ${help}\n  ${where.join('\n  ')}`;
    });
    assert.deepEqual(said, [], what);
  }

  /** Fails with what pages complained of, and with what they asked of others. */
  checkQuiet(): void {
    assert.deepEqual(this.complaints, []);
    assert.deepEqual(this.#foreign, [], 'a page asked something of another origin');
  }
}
