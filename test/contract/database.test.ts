import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { JobView } from '../../src/protocol/api/resources.ts';
import type { Database } from '../../src/db/database.ts';
import { migrate } from '../../src/db/migrate.ts';
import { openPostgres } from '../../src/db/postgres.ts';
import { openSqlite } from '../../src/db/sqlite.ts';
import { freePort, Pomona, until } from '../system/pomona.ts';
import { PostgresServer } from '../postgres.ts';

/** Tests of the controller that run over a database, all of them over PostgreSQL too. */
const OVER_A_DATABASE = [
  'src/controller/ci/integration.test.ts',
  'src/controller/image-turns.test.ts',
  'src/controller/reconcile/backoffs.test.ts',
  'src/controller/reconcile/carry-out.test.ts',
  'src/controller/sessions/observe.test.ts',
];

let dir: string;
let postgres: PostgresServer;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pomona-database-'));
  postgres = await PostgresServer.start(await freePort());
});
after(async () => {
  await postgres.remove();
  await rm(dir, { recursive: true });
});

const OPEN: Readonly<Record<string, () => Promise<Database>>> = {
  sqlite: async () => openSqlite(join(dir, `${process.hrtime.bigint()}.db`)),
  postgres: async () => openPostgres(await postgres.database()),
};

for (const [name, open] of Object.entries(OPEN)) {
  suite(`the database ${name}`, () => {
    let db: Database;
    before(async () => {
      db = await open();
      await Promise.all([migrate(db), migrate(db)]);
      await db.run('CREATE TABLE things (name TEXT PRIMARY KEY, n BIGINT NOT NULL)');
      await db.run("INSERT INTO things (name, n) VALUES ('sum', 0)");
    });
    after(() => db.close());

    test('numbers are numbers, and what is absent is null', async () => {
      const big = 1_800_000_000_000;
      await db.run('INSERT INTO things (name, n) VALUES ($1, $2)', ['big', big]);
      const row = await db.get(
        'SELECT n, COUNT(*) AS c, NULL AS none FROM things WHERE n = $1 GROUP BY n',
        [big],
      );
      assert.deepEqual({ ...(row as object) }, { n: big, c: 1, none: null });
      assert.equal(await db.run('UPDATE things SET n = 1 WHERE name = $1', ['nobody']), 0);
      assert.equal(await db.get('SELECT n FROM things WHERE name = $1', ['nobody']), undefined);
    });

    test('transactions run one after the other: none reads what another is about to write', async () => {
      await Promise.all(
        Array.from({ length: 20 }, () =>
          db.transaction(async (tx) => {
            const row = await tx.get<{ n: number }>("SELECT n FROM things WHERE name = 'sum'");
            await tx.run("UPDATE things SET n = $1 WHERE name = 'sum'", [(row?.n ?? 0) + 1]);
          }),
        ),
      );
      const row = await db.get<{ n: number }>("SELECT n FROM things WHERE name = 'sum'");
      assert.equal(row?.n, 20);
    });

    test('a transaction that throws leaves nothing, and those after it run', async () => {
      await assert.rejects(
        db.transaction(async (tx) => {
          await tx.run("INSERT INTO things (name, n) VALUES ('half', 1)");
          throw new Error('on purpose');
        }),
        /on purpose/,
      );
      await assert.rejects(db.transaction((tx) => tx.run('no SQL')));
      assert.equal(await db.get("SELECT 1 AS n FROM things WHERE name = 'half'"), undefined);
      assert.equal(await db.transaction(async () => 'runs'), 'runs');
    });

    test('its clock is that of all who use it', async () => {
      const now = await db.now();
      assert.ok(Math.abs(now - Date.now()) < 60_000);
    });
  });
}

suite('what PostgreSQL tells', () => {
  test('what is committed is heard, what is rolled back is not, and what may be missed is told', async () => {
    const db = await openPostgres(await postgres.database());
    const heard: string[] = [];
    let missed = 0;
    const listening = db.listen(
      'news',
      (text) => heard.push(text),
      () => (missed += 1),
    );
    try {
      await until('it listens', async () => missed > 0);
      await assert.rejects(
        db.transaction(async (tx) => {
          await db.tell(tx, 'news', 'not this');
          throw new Error('on purpose');
        }),
      );
      await db.transaction((tx) => db.tell(tx, 'news', 'this'));
      await until('it is heard', async () => heard.length > 0);
      assert.deepEqual(heard, ['this']);
      const before = missed;
      await postgres.restart();
      await until('that something was missed is told', async () => missed > before);
      await until('it answers again', async () => {
        await db.transaction((tx) => db.tell(tx, 'news', 'again')).catch(() => undefined);
        return heard.includes('again');
      });
    } finally {
      await listening.close();
      await db.close();
    }
  });

  test('a database that is not there is told with its place and without its password', async () => {
    const url = `postgres://pomona:secret@127.0.0.1:${await freePort()}/none`;
    await assert.rejects(openPostgres(url), (error: Error) => {
      assert.match(error.message, /postgres:\/\/pomona@127\.0\.0\.1:\d+\/none cannot be used/);
      return !error.message.includes('secret');
    });
  });
});

suite('pomona db copy', () => {
  test('a controller goes on over PostgreSQL with what it knew', async () => {
    const pomona = await Pomona.make();
    try {
      await pomona.up();
      const ran = await pomona.run(['run', '--title', 'before', '--', 'echo', 'hello']);
      assert.equal(ran.code, 0, ran.err);
      await pomona.run(['secret', 'set', 'TOKEN'], { input: 'a secret' });
      const url = await postgres.database();
      const refused = await pomona.run(['db', 'copy', '--to', url]);
      assert.notEqual(refused.code, 0, 'while the controller runs');
      await pomona.stopServers();
      const copied = await pomona.run(['db', 'copy', '--to', url]);
      assert.equal(copied.code, 0, copied.err);
      assert.doesNotMatch(copied.out + copied.err, /of-tests/);
      const again = await pomona.run(['db', 'copy', '--to', url]);
      assert.match(again.err, /holds rows already/);
      await writeFile(join(pomona.data, 'pomona.yaml'), `database: ${url}\n`);
      await pomona.up();
      const [job] = await pomona.json<JobView[]>(['job', 'list']);
      assert.equal(job?.title, 'before');
      const log = await pomona.run(['job', 'logs', job?.id ?? '']);
      assert.equal(log.out, 'hello\n', log.err);
      const script = 'test "$TOKEN" = "a secret"';
      const uses = await pomona.run(['run', '--secret', 'TOKEN', '--', 'sh', '-c', script]);
      assert.equal(uses.code, 0, uses.err);
    } finally {
      await pomona.remove();
    }
  });
});

test('what the controller is tested with over SQLite holds over PostgreSQL', async () => {
  // By this variable a test runner knows that another runs it, and does nothing.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const child = spawn(process.execPath, ['--test', ...OVER_A_DATABASE], {
    env: { ...env, POMONA_TEST_DATABASE: await postgres.database() },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stdout.on('data', (chunk) => (said += String(chunk)));
  child.stderr.on('data', (chunk) => (said += String(chunk)));
  const [code] = (await once(child, 'close')) as [number];
  assert.equal(code, 0, said);
  assert.match(said, /pass [1-9]\d/);
});
