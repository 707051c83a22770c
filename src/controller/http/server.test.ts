import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import { heldBytes, HttpHarness } from '../../../test/http-harness.ts';
import { ROUTES } from '../../protocol/api/routes.ts';
import { problemSchema, type Problem } from '../../protocol/problem.ts';
import { openApiDocument } from '../../protocol/api/openapi.ts';

async function problemOf(response: Response): Promise<Problem> {
  assert.equal(response.headers.get('content-type'), 'application/problem+json');
  return problemSchema.parse(await response.json());
}

const post = (body: string | undefined, headers: Record<string, string> = {}) => ({
  method: 'POST',
  headers: { 'content-type': 'application/json', ...headers },
  ...(body === undefined ? {} : { body }),
});

describe('the HTTP server', () => {
  it('hands calls to handlers as their schemas made them, and gives their answers', async (t) => {
    const seen: unknown[] = [];
    const harness = await HttpHarness.start(t, {
      listJobs: async ({ query, principal }) => {
        seen.push(query, principal);
        return { items: [], next: 'more' };
      },
      removePool: async ({ params }) => {
        seen.push({ ...params });
      },
      setSecret: async ({ params, body }) => {
        seen.push({ ...params }, body);
      },
    });
    const response = await harness.fetch('/api/v1/jobs?limit=7&state=queued', 'token-viewer');
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('x-content-type-options'), 'nosniff');
    assert.equal(response.headers.get('cache-control'), 'no-store');
    const body = ROUTES.listJobs.response.parse(await response.json());
    assert.deepEqual(body, { items: [], next: 'more' });
    const gone = await harness.fetch('/api/v1/pools/p%2F1', undefined, { method: 'DELETE' });
    assert.equal(gone.status, 204);
    const set = await harness.fetch('/api/v1/secrets/KEY', undefined, {
      method: 'PUT',
      body: '{"value":"x"}',
    });
    assert.equal(set.status, 204);
    assert.deepEqual(seen, [
      { limit: 7, state: 'queued', builds: false },
      { kind: 'token', id: 't-1', name: 'vi', role: 'viewer' },
      { name: 'p/1' },
      { name: 'KEY' },
      { value: 'x' },
    ]);
  });

  it('passes on the idempotency key where one is taken, and refuses one that is no key', async (t) => {
    const keys: unknown[] = [];
    const harness = await HttpHarness.start(t, {
      submitJob: async ({ idempotencyKey, body }) => {
        keys.push(idempotencyKey, body.priority);
        throw new Error('enough');
      },
    });
    await harness.fetch(
      '/api/v1/jobs',
      undefined,
      post('{"command":["a"]}', { 'idempotency-key': 'k1' }),
    );
    assert.deepEqual(keys, ['k1', 0]);
    const long = post('{"command":["a"]}', { 'idempotency-key': 'k'.repeat(256) });
    const refused = await problemOf(await harness.fetch('/api/v1/jobs', undefined, long));
    assert.equal(refused.errors?.[0]?.path, 'Idempotency-Key');
  });

  it('says where a body is wrong, what was expected and which key was meant', async (t) => {
    const harness = await HttpHarness.start(t);
    const body = '{"command":["ls",5],"prioritty":1,"env":{"A B":"x"},"retries":99}';
    const response = await harness.fetch('/api/v1/jobs', undefined, post(body));
    assert.equal(response.status, 422);
    const { code, errors = [] } = await problemOf(response);
    assert.equal(code, 'invalid');
    const at = new Map(errors.map(({ path, message }) => [path, message]));
    assert.equal(at.get('command.1'), 'expected string, not number');
    assert.match(at.get('prioritty') ?? '', /did you mean priority\?/);
    assert.match(at.get('env.A B') ?? '', /NPM_TOKEN/);
    assert.match(at.get('retries') ?? '', /10/);
    const missing = await problemOf(await harness.fetch('/api/v1/jobs', undefined, post('{}')));
    assert.deepEqual(missing.errors, [
      { path: 'command', message: 'expected array, but it is missing' },
    ]);
  });

  it('refuses unknown and wrong query parameters', async (t) => {
    const harness = await HttpHarness.start(t);
    const unknown = await problemOf(await harness.fetch('/api/v1/jobs?limits=5'));
    assert.match(unknown.errors?.[0]?.message ?? '', /did you mean limit\?/);
    const wrong = await problemOf(await harness.fetch('/api/v1/jobs?limit=many&state=sleeping'));
    assert.deepEqual(
      wrong.errors?.map(({ path }) => path),
      ['limit', 'state'],
    );
    assert.equal((await problemOf(await harness.fetch('/api/v1/whoami?x=1'))).code, 'invalid');
  });

  it('refuses what is not JSON, not UTF-8 or missing', async (t) => {
    const harness = await HttpHarness.start(t);
    const bad = await harness.fetch('/api/v1/jobs', undefined, post('{"command": [}'));
    assert.equal(bad.status, 400);
    assert.equal((await problemOf(bad)).code, 'bad_request');
    const latin = await harness.fetch('/api/v1/jobs', undefined, {
      method: 'POST',
      body: Buffer.from([0x22, 0xe9, 0x22]),
    });
    assert.match((await problemOf(latin)).detail, /UTF-8/);
    const none = await problemOf(
      await harness.fetch('/api/v1/jobs', undefined, { method: 'POST' }),
    );
    assert.equal(none.code, 'invalid');
  });

  it('answers a body of 100 MB with too_large, keeps none of it and ends the connection', async (t) => {
    const harness = await HttpHarness.start(t);
    const piece = Buffer.alloc(256 * 1024, 'a');
    const chunk = Buffer.concat([Buffer.from('40000\r\n'), piece, Buffer.from('\r\n')]);
    for (const [header, part] of [
      ['Content-Length: 104857600', piece],
      ['Transfer-Encoding: chunked', chunk],
    ] as const) {
      const before = heldBytes();
      let most = 0;
      const socket = connect(harness.port, '127.0.0.1');
      const answer = socket.toArray();
      socket.write(
        `POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer token-admin\r\n${header}\r\n\r\n`,
      );
      for (let sent = 0; sent < 400; sent += 1) {
        if (!socket.write(part)) await once(socket, 'drain');
        if (sent % 50 === 0) most = Math.max(most, heldBytes() - before);
      }
      if (part === chunk) socket.write('0\r\n\r\n');
      const text = Buffer.concat(await answer).toString();
      assert.match(text, /^HTTP\/1\.1 413 .*\r\nconnection: close\r\n/is);
      assert.match(text, /"code":"too_large"/);
      assert(most < 40 * 1024 * 1024, `${most} bytes were held`);
    }
    assert.equal((await harness.fetch('/healthz')).status, 200);
  });

  it('answers a large body also to a caller without a token', async (t) => {
    const harness = await HttpHarness.start(t);
    const response = await harness.fetch('/api/v1/jobs', '', post('x'.repeat(20_000_000)));
    assert.equal(response.status, 401);
  });

  it('answers unknown places with 404, known places with another method with 405', async (t) => {
    const harness = await HttpHarness.start(t);
    for (const path of ['/', '/api/v1/nothing', '/api/v1/jobs/a/b/c', '/api/v1/jobs/']) {
      assert.equal((await problemOf(await harness.fetch(path))).code, 'not_found', path);
    }
    const other = await harness.fetch('/api/v1/jobs/j-1', undefined, { method: 'DELETE' });
    assert.equal(other.status, 405);
    assert.equal(other.headers.get('allow'), 'GET');
    assert.equal((await problemOf(other)).code, 'method_not_allowed');
    assert.equal((await problemOf(await harness.fetch('/api/v1/jobs/%zz'))).code, 'bad_request');
  });

  it('hides what failed inside, and logs it under the id it tells', async (t) => {
    const harness = await HttpHarness.start(t, {
      whoami: async () => {
        throw new Error('the cable was cut');
      },
    });
    const response = await harness.fetch('/api/v1/whoami');
    assert.equal(response.status, 500);
    const { code, detail } = await problemOf(response);
    assert.equal(code, 'internal');
    assert(!detail.includes('cable'));
    const id = String(harness.logged[0]?.fields['id']);
    assert(id.length > 10 && detail.includes(id));
    assert(!JSON.stringify(harness.logged).includes('token-admin'));
  });

  it('fails a call whose answer is not what its schema says, where that is checked', async (t) => {
    const harness = await HttpHarness.start(t, {
      whoami: async () => ({ name: 'ada', role: 'admin', fleet: 'f' }) as never,
    });
    assert.equal((await harness.fetch('/api/v1/whoami')).status, 500);
    assert.equal(harness.logged.length, 1);
  });

  it('answers garbage, and ends heads that do not arrive', async (t) => {
    const harness = await HttpHarness.start(t, {}, { headersMs: 300 });
    const garbage = connect(harness.port, '127.0.0.1');
    garbage.write('hello there\r\n\r\n');
    assert.match(
      Buffer.concat(await garbage.toArray()).toString(),
      /^HTTP\/1\.1 400 .*"bad_request"/s,
    );
    const slow = connect(harness.port, '127.0.0.1');
    slow.write('GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ');
    assert.match(Buffer.concat(await slow.toArray()).toString(), /^HTTP\/1\.1 400 /);
    const silent = connect(harness.port, '127.0.0.1');
    assert.match(Buffer.concat(await silent.toArray()).toString(), /^HTTP\/1\.1 400 /);
  });

  it('ends a JSON body that does not arrive', async (t) => {
    const harness = await HttpHarness.start(t, {}, { jsonBodyMs: 200 });
    const slow = connect(harness.port, '127.0.0.1');
    slow.write(
      'POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer token-admin\r\n' +
        'Content-Length: 100\r\n\r\n{"comm',
    );
    assert.equal(Buffer.concat(await slow.toArray()).toString(), '');
    assert.deepEqual(harness.logged, []);
  });

  it('aborts a call whose client went away', async (t) => {
    const aborted = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const harness = await HttpHarness.start(t, {
      getJob: ({ signal }) => {
        signal.addEventListener('abort', () => aborted.resolve());
        begun.resolve();
        return new Promise(() => undefined);
      },
    });
    const leave = new AbortController();
    const call = harness.fetch('/api/v1/jobs/j-1?wait=60000', undefined, { signal: leave.signal });
    await begun.promise;
    leave.abort();
    await assert.rejects(call);
    await aborted.promise;
  });

  it('treats a request that offers another protocol as a plain one', async (t) => {
    const harness = await HttpHarness.start(t);
    const sending = httpRequest(`${harness.server.url}/healthz`, {
      headers: { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c' },
    }).end();
    const [response] = await once(sending, 'response');
    assert.equal(response.statusCode, 200);
    response.resume();
  });
});

describe('what the server says of itself', () => {
  it('is alive always and ready when the controller is', async (t) => {
    const harness = await HttpHarness.start(t);
    harness.isReady = false;
    assert.equal((await harness.fetch('/healthz', '')).status, 200);
    assert.equal((await harness.fetch('/readyz', '')).status, 503);
    harness.isReady = true;
    assert.equal((await harness.fetch('/readyz', '')).status, 200);
  });

  it('gives metrics of requests by route and status', async (t) => {
    const harness = await HttpHarness.start(t);
    await (await harness.fetch('/api/v1/whoami')).text();
    const text = await (await harness.fetch('/metrics', 'token-viewer')).text();
    assert.match(text, /pomona_http_request_seconds_count\{route="whoami",status="409"\} 1/);
  });

  it('gives the OpenAPI document and a page without scripts to everyone', async (t) => {
    const harness = await HttpHarness.start(t);
    const document = await harness.fetch('/api/v1/openapi.json', '');
    assert.deepEqual(
      await document.json(),
      JSON.parse(JSON.stringify(openApiDocument('0.0.0-test'))),
    );
    const page = await harness.fetch('/api/v1/docs', '');
    assert.match(
      page.headers.get('content-security-policy') ?? '',
      /^default-src 'none'; style-src 'sha256-/,
    );
    const html = await page.text();
    assert(!/<script|https?:/.test(html));
    for (const id of Object.keys(ROUTES)) assert(html.includes(`<section id="${id}">`), id);
  });
});
