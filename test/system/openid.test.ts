import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Provider } from 'oidc-provider';
import type { Browser } from 'playwright-core';
import { noBrowser, Person, startBrowser } from '../dashboard-page.ts';
import { Pomona } from './pomona.ts';

const SECRET = 'the-secret-of-the-client';
const GROUPS: Readonly<Record<string, readonly string[]>> = {
  ada: ['ci-admins', 'staff'],
  vi: ['staff'],
  stranger: [],
};

/** A real identity provider, whose people sign in by their name alone. */
async function startProvider(redirectUri: string): Promise<{ server: Server; issuer: string }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: 'pomona',
        client_secret: SECRET,
        redirect_uris: [redirectUri],
        token_endpoint_auth_method: 'client_secret_post',
      },
    ],
    claims: { openid: ['sub'], email: ['email'], profile: ['groups'] },
    pkce: { required: () => true },
    findAccount: (_context, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.org`, groups: GROUPS[id] ?? [] }),
    }),
  });
  const answer = provider.callback();
  server.on('request', (request, response) => void answer(request, response));
  return { server, issuer };
}

describe('signing in by OpenID Connect', { skip: noBrowser, timeout: 300_000 }, () => {
  let pomona: Pomona;
  let browser: Browser;
  let provider: Server;
  let url = '';

  before(async () => {
    pomona = await Pomona.make();
    url = `http://127.0.0.1:${pomona.port}`;
    const started = await startProvider(`${url}/web/openid/callback`);
    provider = started.server;
    await writeFile(
      join(pomona.data, 'pomona.yaml'),
      `
dashboard:
  url: ${url}
  signIn:
    issuer: ${started.issuer}
    clientId: pomona
    clientSecret: OIDC_SECRET
    roles:
      - { claim: groups, value: staff, role: viewer }
      - { claim: groups, value: ci-admins, role: admin }
`,
    );
    await pomona.start(['serve', '--data', pomona.data, '--listen', `127.0.0.1:${pomona.port}`]);
    const set = await pomona.run(['secret', 'set', 'OIDC_SECRET'], { input: SECRET });
    assert.equal(set.code, 0, set.err);
    browser = await startBrowser();
  });
  after(async () => {
    await browser.close();
    provider.closeAllConnections();
    provider.close();
    await pomona.remove();
  });

  /** Goes the whole way as somebody, from a page of the dashboard. */
  async function signInAs(name: string, from = '/'): Promise<Person> {
    const person = await Person.come(browser, url);
    const { page } = person;
    await person.go(from);
    await page.getByRole('link', { name: /^Sign in with 127/ }).click();
    await page.locator('input[name=login]').fill(name);
    await page.locator('input[name=password]').fill('anything');
    await page.getByRole('button', { name: 'Sign-in' }).click();
    await page.getByRole('button', { name: 'Continue' }).click();
    return person;
  }

  test('gives the best role that one’s groups say, and goes on to where one was going', async () => {
    const ada = await signInAs('ada', '/admin?tab=tokens');
    await ada.page.getByText('ada@example.org').waitFor();
    await ada.page.getByRole('button', { name: 'Make a token' }).waitFor();
    const vi = await signInAs('vi');
    await vi.page.getByText('(viewer)').waitFor();
  });

  test('refuses whoever has no role, and says what to do', async () => {
    const { page } = await signInAs('stranger');
    await page.getByRole('alert').getByText('stranger@example.org has no role here').waitFor();
    const session = await page.evaluate(async () => (await fetch('/web/session')).json());
    assert.equal((session as { signedIn: boolean }).signedIn, false);
  });

  test('refuses an answer that this browser did not ask for, and one that comes twice', async () => {
    const thief = await Person.come(browser, url);
    await thief.go('/web/openid/callback?code=stolen&state=guessed');
    await thief.page.getByRole('alert').getByText('was not begun in this browser').waitFor();

    const { page, context } = await Person.come(browser, url);
    const asked: string[] = [];
    page.on('request', (request) => {
      if (request.url().includes('/web/openid/callback')) asked.push(request.url());
    });
    await page.goto(`${url}/web/openid/start?returnTo=${encodeURIComponent('//evil.example')}`);
    await page.locator('input[name=login]').fill('ada');
    await page.locator('input[name=password]').fill('anything');
    await page.getByRole('button', { name: 'Sign-in' }).click();
    await page.getByRole('button', { name: 'Continue' }).click();
    await page
      .getByRole('heading', { level: 1, name: 'Fleet' })
      .or(page.getByText('No host has joined yet'))
      .waitFor();
    assert.equal(new URL(page.url()).origin, url, 'nobody is sent elsewhere');
    await context.clearCookies({ name: 'pomona_session' });
    await page.goto(asked[0] ?? '');
    await page.getByRole('alert').getByText('sign in again').waitFor();
  });

  test('says so when the provider does not answer, and tokens still work', async () => {
    provider.closeAllConnections();
    const closed = once(provider, 'close');
    provider.close();
    await closed;
    await pomona.stopServers();
    await pomona.start(['serve', '--data', pomona.data, '--listen', `127.0.0.1:${pomona.port}`]);
    const { page } = await Person.come(browser, url);
    await page.goto(`${url}/web/openid/start`);
    await page.getByRole('alert').getByText('does not answer').waitFor();
    await page.getByLabel('API token').fill(await pomona.adminToken());
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await page.getByText('No host has joined yet').waitFor();
  });
});
