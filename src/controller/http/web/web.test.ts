import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { HttpHarness } from '../../../../test/http-harness.ts';
import { cookieJar } from './cookies.ts';

/** A server with a page of its own, and a browser's cookie of somebody with this role. */
async function signedIn(t: TestContext, role = 'admin') {
  const dir = await mkdtemp(join(tmpdir(), 'pomona-page-'));
  t.after(() => rm(dir, { recursive: true }));
  await mkdir(join(dir, 'assets'));
  await writeFile(join(dir, 'index.html'), '<!doctype html><title>Page</title>');
  await writeFile(join(dir, 'console.html'), '<!doctype html><title>Console</title>');
  await writeFile(join(dir, 'assets', 'main-abc.js'), 'script');
  const called: string[] = [];
  const harness = await HttpHarness.start(
    t,
    {
      revokeToken: async ({ params }) => void called.push(params.id),
      setSecret: async ({ params }) => void called.push(params.name),
      listTokens: async () => ({ items: [] }),
    },
    {},
    dir,
  );
  const answer = await harness.fetch('/web/session', '', {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'sec-fetch-site': 'same-origin' },
    body: JSON.stringify({ token: `token-${role}` }),
  });
  const cookie = answer.headers.getSetCookie()[0] ?? '';
  const session = cookie.split(';')[0] ?? '';
  const who = await harness.fetch('/web/session', '', { headers: { cookie: session } });
  const { csrf } = (await who.json()) as { csrf: string };
  return { harness, called, answer, cookie, session, csrf };
}

test('who signs in with a token gets a cookie that scripts and other sites cannot use', async (t) => {
  const { answer, cookie } = await signedIn(t);
  assert.equal(answer.status, 204);
  assert.match(cookie, /^pomona_session=[^;]+; .*HttpOnly/);
  assert.match(cookie, /SameSite=Lax/);
  assert.match(cookie, /Path=\//);
  assert.doesNotMatch(cookie, /Domain=/);
});

test('over TLS the cookie is of this host alone, and never sent without TLS', () => {
  assert.match(cookieJar(true).session('s', 1_000), /^__Host-pomona_session=s;.*Secure/);
  assert.doesNotMatch(cookieJar(false).session('s', 1_000), /Secure/);
});

test('a cookie alone looks, and changes nothing without the session’s own header', async (t) => {
  const { harness, called, session, csrf } = await signedIn(t);
  const headers = { cookie: session };
  assert.equal((await harness.fetch('/api/v1/tokens', '', { headers })).status, 200);
  const change = (more: Record<string, string>) =>
    harness.fetch('/api/v1/tokens/t-1', '', { method: 'DELETE', headers: { ...headers, ...more } });
  assert.equal((await change({})).status, 403);
  assert.equal((await change({ 'pomona-csrf': `${csrf}x` })).status, 403);
  assert.equal((await change({ 'pomona-csrf': 'x' })).status, 403);
  assert.deepEqual(called, []);
  assert.equal((await change({ 'pomona-csrf': csrf })).status, 204);
  assert.deepEqual(called, ['t-1']);
});

test('another site can sign nobody in', async (t) => {
  const { harness } = await signedIn(t);
  for (const headers of [
    { 'sec-fetch-site': 'cross-site' },
    { origin: 'https://evil.example' },
    { origin: 'null' },
  ]) {
    const answer = await harness.fetch('/web/session', '', {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ token: 'token-admin' }),
    });
    assert.equal(answer.status, 403, JSON.stringify(headers));
    assert.deepEqual(answer.headers.getSetCookie(), []);
  }
});

test('failed sign-ins are recorded, and cannot fill the audit log', async (t) => {
  const { harness } = await signedIn(t);
  for (let n = 0; n < 20; n += 1) {
    const answer = await harness.fetch('/web/session', '', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token: `guess-${n}` }),
    });
    assert.equal(answer.status, 401);
  }
  const failures = harness.deeds.filter(({ status }) => status === 401);
  assert.ok(failures.length >= 1 && failures.length < 10, `${failures.length} recorded`);
  assert.ok(!JSON.stringify(failures).includes('guess'));
});

test('who signs out is known no longer', async (t) => {
  const { harness, session, csrf } = await signedIn(t);
  const headers = { cookie: session, 'pomona-csrf': csrf };
  const out = await harness.fetch('/web/session', '', { method: 'DELETE', headers });
  assert.equal(out.status, 204);
  assert.match(out.headers.getSetCookie()[0] ?? '', /Max-Age=0/);
  assert.equal((await harness.fetch('/api/v1/tokens', '', { headers })).status, 401);
});

test('what is done is written down with who did it and how it ended, and secrets are not', async (t) => {
  const { harness, session, csrf } = await signedIn(t);
  const headers = {
    ...{ cookie: session, 'pomona-csrf': csrf, 'content-type': 'application/json' },
  };
  const body = JSON.stringify({ value: 'sesame' });
  await harness.fetch('/api/v1/secrets/A_SECRET', '', { method: 'PUT', headers, body });
  await harness.fetch('/api/v1/secrets/A_SECRET', 'token-viewer', { method: 'PUT', body });
  const { deeds } = harness;
  const told = deeds.map(({ who, action, target, status }) => [who, action, target, status]);
  assert.deepEqual(told, [
    ['ada', 'signIn', '', 204],
    ['ada', 'setSecret', 'A_SECRET', 204],
    ['vi', 'setSecret', 'A_SECRET', 403],
  ]);
  assert.ok(!JSON.stringify(deeds).includes('sesame'));
});

test('the page may run nothing but its own files, and be shown in no other page', async (t) => {
  const { harness } = await signedIn(t);
  for (const path of ['/', '/jobs/j-1', '/hosts/mini']) {
    const answer = await harness.fetch(path, '');
    assert.match(await answer.text(), /<title>Page/);
    const policy = answer.headers.get('content-security-policy') ?? '';
    assert.match(policy, /default-src 'none'; script-src 'self'; style-src 'self';/);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.doesNotMatch(policy, /unsafe/);
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
  }
  const console_ = await harness.fetch('/console/w-1?kind=shell', '');
  assert.match(await console_.text(), /<title>Console/);
  const policy = console_.headers.get('content-security-policy') ?? '';
  assert.match(policy, /script-src 'self'; style-src 'self' 'unsafe-inline'/);
});

test('files with their hash in their name are kept, and what is not there is told', async (t) => {
  const { harness } = await signedIn(t);
  const script = await harness.fetch('/assets/main-abc.js', '');
  assert.match(script.headers.get('cache-control') ?? '', /immutable/);
  assert.equal((await harness.fetch('/assets/other.js', '')).status, 404);
  assert.equal((await harness.fetch('/assets/..%2Findex.html', '')).status, 404);
  assert.equal((await harness.fetch('/api/v1/nothing', '')).status, 404);
  assert.equal((await harness.fetch('/web/nothing', '')).status, 404);
});

test('whoever has an answer finds it in the audit log', async (t) => {
  const { harness } = await signedIn(t);
  const audit = harness.web.audit.bind(harness.web);
  harness.web.audit = async (deed) => {
    await sleep(100);
    await audit(deed);
  };
  for (const [name, status] of [
    ['admin', 204],
    ['viewer', 403],
  ] as const) {
    const headers = { 'content-type': 'application/json' };
    const answer = await harness.fetch('/api/v1/secrets/A_SECRET', `token-${name}`, {
      ...{ method: 'PUT', headers, body: '{"value":"x"}' },
    });
    assert.equal(answer.status, status);
    assert.equal(harness.deeds.at(-1)?.status, status);
  }
});
