import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HOST_TOKEN, HttpHarness } from '../../../test/http-harness.ts';
import { ROLE_ORDER, type Route } from '../../protocol/api/route.ts';
import { API_PREFIX, ROUTES } from '../../protocol/api/routes.ts';

const PLACES = [
  ...Object.values<Route>(ROUTES).map(({ id, method, path, role }) => ({
    id,
    method,
    role,
    path: API_PREFIX + path.replaceAll(/\{\w+\}/g, 'x'),
  })),
  { id: 'metrics', method: 'GET', role: 'viewer' as const, path: '/metrics' },
];

const AGENT_PLACES = [
  { method: 'PUT', path: '/agent/v1/jobs/j-1/log?epoch=1&offset=0' },
  { method: 'PUT', path: '/agent/v1/jobs/j-1/artifacts?epoch=1&path=a' },
  { method: 'GET', path: '/agent/v1/jobs/j-1/source?epoch=1' },
];

async function problemOf(response: Response): Promise<string> {
  assert.equal(response.headers.get('content-type'), 'application/problem+json');
  const { code, status } = (await response.json()) as { code: string; status: number };
  assert.equal(status, response.status);
  return code;
}

describe('access to the API', () => {
  for (const { id, method, path, role } of PLACES) {
    const lower = ROLE_ORDER[ROLE_ORDER.indexOf(role) - 1];

    it(`${id} is refused without a token, with a wrong one, to hosts and to roles below ${role}`, async (t) => {
      const harness = await HttpHarness.start(t);
      for (const token of ['', 'token-unknown']) {
        const response = await harness.fetch(path, token, { method });
        assert.equal(await problemOf(response), 'unauthenticated');
        assert.match(response.headers.get('www-authenticate') ?? '', /^Bearer /);
      }
      const wrong = [HOST_TOKEN, ...(lower === undefined ? [] : [`token-${lower}`])];
      for (const token of wrong) {
        const response = await harness.fetch(path, token, { method });
        assert.equal(await problemOf(response), 'forbidden');
      }
    });

    it(`${id} is open to the role ${role}`, async (t) => {
      const harness = await HttpHarness.start(t);
      const response = await harness.fetch(path, `token-${role}`, { method });
      assert(![401, 403, 405, 500].includes(response.status), `status ${response.status}`);
      await response.body?.cancel();
    });
  }

  for (const { method, path } of AGENT_PLACES) {
    it(`${method} ${path} is for hosts that have the job`, async (t) => {
      const harness = await HttpHarness.start(t);
      harness.jobs.set('j-1', { state: 'running', epoch: 1 });
      const call = (token: string, to = path) => harness.fetch(to, token, { method });
      assert.equal(await problemOf(await call('')), 'unauthenticated');
      assert.equal(await problemOf(await call('token-admin')), 'forbidden');
      const stale = await call(HOST_TOKEN, path.replace('epoch=1', 'epoch=2'));
      assert.equal(await problemOf(stale), 'stale_epoch');
      const right = await call(HOST_TOKEN);
      assert([200, 201, 404].includes(right.status));
      await right.body?.cancel();
    });
  }

  it('does not take a token from anywhere but the Authorization header', async (t) => {
    const harness = await HttpHarness.start(t);
    const response = await harness.fetch('/api/v1/whoami?token=token-admin', '');
    assert.equal(await problemOf(response), 'unauthenticated');
    const basic = await harness.fetch('/api/v1/whoami', '', {
      headers: { authorization: 'Basic token-admin' },
    });
    assert.equal(await problemOf(basic), 'unauthenticated');
  });
});
