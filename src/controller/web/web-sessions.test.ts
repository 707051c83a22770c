import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControllerFixture } from '../../../test/controller-fixture.ts';
import { deleteToken, listTokens } from '../../db/queries/tokens.ts';
import { Auth } from '../auth.ts';
import { csrfTokenOf, isCsrfToken, SESSION_MS, WebSessions } from './web-sessions.ts';

const HOUR_MS = 3_600_000;

async function opened(t: Parameters<typeof ControllerFixture.make>[0], ttlMs?: number) {
  const fixture = await ControllerFixture.make(t);
  const { token, id } = await new Auth(fixture.context).createToken({
    ...{ name: 'ada', role: 'operator', ttlMs },
  });
  const sessions = new WebSessions(fixture.context);
  const session = await sessions.openWithToken(token);
  assert.ok(session !== undefined);
  return { fixture, sessions, session, tokenId: id };
}

test('a session has the name and the role of its token, and ends with it', async (t) => {
  const { fixture, sessions, session, tokenId } = await opened(t);
  const who = await sessions.find(session.secret);
  assert.deepEqual([who?.name, who?.role], ['ada', 'operator']);
  await deleteToken(fixture.context.db, tokenId);
  assert.equal(await sessions.find(session.secret), undefined);
});

test('a session ends when its token expires, after a day without a request, and after a week', async (t) => {
  const short = await opened(t, HOUR_MS);
  short.fixture.time.wall += HOUR_MS;
  assert.equal(await short.sessions.find(short.session.secret), undefined);

  const idle = await opened(t);
  idle.fixture.time.wall += 24 * HOUR_MS + 1;
  assert.equal(await idle.sessions.find(idle.session.secret), undefined);

  const busy = await opened(t);
  for (let hours = 0; hours < 160; hours += 20) {
    busy.fixture.time.wall += 20 * HOUR_MS;
    assert.ok((await busy.sessions.find(busy.session.secret)) !== undefined, `${hours} h`);
  }
  busy.fixture.time.wall += SESSION_MS;
  assert.equal(await busy.sessions.find(busy.session.secret), undefined);
});

test('what the database holds opens nothing', async (t) => {
  const { fixture, sessions, session } = await opened(t);
  const rows = await fixture.context.db.all<{ hash: string }>('SELECT * FROM web_sessions');
  assert.ok(!JSON.stringify(rows).includes(session.secret));
  assert.equal(await sessions.find(rows[0]?.hash ?? ''), undefined);
  assert.equal((await listTokens(fixture.context.db)).length, 1);
});

test('the token against forged requests is of one session alone', () => {
  const token = csrfTokenOf('one');
  assert.ok(isCsrfToken('one', token));
  assert.ok(!isCsrfToken('other', token));
  assert.ok(!isCsrfToken('one', ''));
});
