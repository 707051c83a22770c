import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ControllerFixture } from '../../test/controller-fixture.ts';
import { Auth } from './auth.ts';
import { Secrets, loadSecretsKey } from './secrets.ts';

test('a token speaks for its role until it expires', async (t) => {
  const { context, time } = await ControllerFixture.make(t);
  const auth = new Auth(context);
  const { token } = await auth.createToken({ name: 'ci', role: 'submitter', ttlMs: 1000 });
  assert.equal((await auth.authenticate(token))?.name, 'ci');
  assert.equal(await auth.authenticate(`${token}x`), undefined);
  time.wall += 1000;
  assert.equal(await auth.authenticate(token), undefined);
});

test('a join token is spent once per use, and not by a host that is refused', async (t) => {
  const { context, time } = await ControllerFixture.make(t);
  const auth = new Auth(context);
  const { token } = await auth.createJoinToken({ ttlMs: 1000, uses: 2 });
  await assert.rejects(
    auth.join(token, 'mac-1', () => true),
    /a host named mac-1 is online/,
  );
  const { credential, hostId } = await auth.join(token, 'mac-2', () => false);
  assert.equal((await auth.authenticate(credential))?.id, hostId);
  await auth.join(token, 'mac-3', () => false);
  await assert.rejects(
    auth.join(token, 'mac-4', () => false),
    /unknown, used up or expired/,
  );
  const late = await auth.createJoinToken({ ttlMs: 1000, uses: 1 });
  time.wall += 1000;
  await assert.rejects(
    auth.join(late.token, 'mac-5', () => false),
    /expired/,
  );
});

test('a host that joins again keeps its id, and its earlier credential ends', async (t) => {
  const { context } = await ControllerFixture.make(t);
  const auth = new Auth(context);
  const { token } = await auth.createJoinToken({ ttlMs: 1000, uses: 2 });
  const first = await auth.join(token, 'mac-9', () => false);
  const second = await auth.join(token, 'mac-9', () => false);
  assert.equal(second.hostId, first.hostId);
  assert.equal(await auth.authenticate(first.credential), undefined);
  assert.equal((await auth.authenticate(second.credential))?.kind, 'host');
});

test('neither tokens nor secrets are in the database in clear', async (t) => {
  const { context, dir } = await ControllerFixture.make(t);
  const auth = new Auth(context);
  const secrets = new Secrets(context, await loadSecretsKey(join(dir, 'secrets.key')));
  const { token } = await auth.createToken({ name: 'ci', role: 'admin', ttlMs: undefined });
  const joining = await auth.createJoinToken({ ttlMs: 1000, uses: 1 });
  await secrets.set('PASSWORD', 'hunter2-hunter2');
  assert.deepEqual(await secrets.valuesOf(['PASSWORD', 'NONE']), { PASSWORD: 'hunter2-hunter2' });
  assert.deepEqual(await secrets.missing(['PASSWORD', 'NONE']), ['NONE']);
  await context.db.flush();
  const files = await Promise.all(
    ['pomona.db', 'pomona.db-wal'].map((name) =>
      readFile(join(dir, name)).catch(() => Buffer.alloc(0)),
    ),
  );
  const onDisk = Buffer.concat(files);
  assert(onDisk.includes('PASSWORD'));
  for (const clear of [token, joining.token, 'hunter2-hunter2']) {
    assert(!onDisk.includes(clear), 'a secret is on the disk in clear');
  }
});

test('a secret cannot be opened under another name or with another key', async (t) => {
  const { context, dir } = await ControllerFixture.make(t);
  const secrets = new Secrets(context, await loadSecretsKey(join(dir, 'secrets.key')));
  await secrets.set('A', 'value of A');
  await context.db.run(
    "INSERT INTO secrets (name, sealed, updated_at) SELECT 'B', sealed, 0 FROM secrets WHERE name = 'A'",
  );
  await assert.rejects(secrets.valuesOf(['B']));
  const other = new Secrets(context, await loadSecretsKey(join(dir, 'other.key')));
  await assert.rejects(other.valuesOf(['A']));
});
