import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { JobView, Why, WorkerView } from '../../src/protocol/api/resources.ts';
import type { HostView } from '../../src/protocol/api/host-resources.ts';
import { Pomona, kill, living, until } from './pomona.ts';

describe('a user runs jobs', () => {
  let pomona: Pomona;

  before(async () => {
    pomona = await Pomona.make();
    await pomona.up();
  });
  after(() => pomona.remove());

  test('the output arrives as printed and the exit code is the job’s own', async () => {
    const ran = await pomona.run(['run', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7']);
    assert.deepEqual([ran.code, ran.out], [7, 'out\nerr\n']);
  });

  test('a command that does not exist ends with 127 and says so', async () => {
    const ran = await pomona.run(['run', '--', 'no-such-command']);
    assert.equal(ran.code, 127);
    assert.match(ran.err, /command not found: no-such-command/);
  });

  test('a job that runs too long ends with 124', async () => {
    const ran = await pomona.run(['run', '--timeout', '300ms', '--', 'sleep', '60']);
    assert.equal(ran.code, 124);
  });

  test('an interrupt cancels the job and ends with 130', async () => {
    const child = pomona.spawn(['run', '--', 'sh', '-c', 'echo begun; sleep 60']);
    await once(child.stdout ?? child, 'data');
    child.kill('SIGINT');
    const [code] = await once(child, 'exit');
    assert.equal(code, 130);
    const [job] = await pomona.json<JobView[]>(['job', 'list']);
    assert.equal(job?.outcome, 'cancelled');
  });

  test('an interrupt while the job waits for a worker ends with 130 too', async () => {
    const [host] = await pomona.json<HostView[]>(['host', 'list']);
    assert(host !== undefined);
    await pomona.run(['host', 'drain', host.name]);
    const waiting = pomona.spawn(['run', '--', 'true']);
    await once(waiting.stderr ?? waiting, 'data');
    waiting.kill('SIGINT');
    const [code] = await once(waiting, 'exit');
    assert.equal(code, 130);
    await pomona.run(['host', 'resume', host.name]);
  });

  test('source goes in without what is ignored, artifacts come out and stay in their place', async () => {
    const source = join(pomona.data, 'src');
    await mkdir(join(source, 'deep'), { recursive: true });
    await writeFile(join(source, '.gitignore'), 'ignored\n');
    await writeFile(join(source, 'ignored'), 'x');
    await writeFile(join(source, 'deep/kept'), 'content');
    await symlink('deep/kept', join(source, 'link'));
    const output = join(pomona.data, 'out');
    const script = 'ls; mkdir dist; cat link > dist/copy; ln -s /etc/passwd dist/leak';
    const ran = await pomona.run([
      ...['run', '--source', source, '--artifact', 'dist/**', '--output', output],
      ...['--', 'sh', '-c', script],
    ]);
    assert.deepEqual([ran.code, ran.out], [0, 'deep\nlink\n'], ran.err);
    assert.equal(await readFile(join(output, 'dist/copy'), 'utf8'), 'content');
    await assert.rejects(readFile(join(output, 'dist/leak')), { code: 'ENOENT' });
  });

  test('a missing source directory is told before anything is sent', async () => {
    const before = (await pomona.json<JobView[]>(['job', 'list'])).length;
    const ran = await pomona.run(['run', '--source', '/no/such/dir', '--', 'true']);
    assert.equal(ran.code, 2);
    assert.match(ran.err, /\/no\/such\/dir: there is no such directory/);
    assert.equal((await pomona.json<JobView[]>(['job', 'list'])).length, before);
  });

  test('secrets reach the job, and neither the log nor any answer shows them', async () => {
    const set = await pomona.run(['secret', 'set', 'DEPLOY_KEY'], { input: 'hunter2-hunter2\n' });
    assert.equal(set.code, 0, set.err);
    const script =
      'test "$DEPLOY_KEY" = hunter2-hunter2 && printf "key hunter2-"; printf "hunter2\\n"';
    const ran = await pomona.run(['run', '--secret', 'DEPLOY_KEY', '--', 'sh', '-c', script]);
    assert.deepEqual([ran.code, ran.out], [0, 'key ***\n']);
    const missing = await pomona.run(['run', '--secret', 'NEVER_SET', '--', 'true']);
    assert.equal(missing.code, 125);
    assert.match(missing.err, /no secret is named NEVER_SET/);
  });

  test('an unknown pool or label is refused with what was meant', async () => {
    const pool = await pomona.run(['run', '--pool', 'defualt', '--', 'true']);
    assert.equal(pool.code, 125);
    assert.match(pool.err, /there is no pool defualt; did you mean default\?/);
    const label = await pomona.run(['run', '--label', 'macos-99', '--', 'true']);
    assert.match(label.err, /no pool has the label macos-99/);
  });

  test('a token that is wrong, or of too small a role, is refused', async () => {
    const wrong = await pomona.run(['job', 'list'], { env: { POMONA_TOKEN: 'pomona_wrong' } });
    assert.equal(wrong.code, 1);
    assert.match(wrong.err, /token is unknown, expired or was revoked/);
    const made = await pomona.run(['token', 'create', 'eyes', '--role', 'viewer']);
    const env = { POMONA_TOKEN: made.out.trim() };
    assert.equal((await pomona.run(['job', 'list'], { env })).code, 0);
    const refused = await pomona.run(['host', 'drain', 'any'], { env });
    assert.match(refused.err, /needs the role operator/);
  });

  test('a job on a drained fleet waits, says why, and runs when the host is back', async () => {
    const [host] = await pomona.json<HostView[]>(['host', 'list']);
    assert.ok(host);
    await pomona.run(['host', 'drain', host.name]);
    const detached = await pomona.run(['run', '--detach', '--', 'echo', 'at last']);
    const id = detached.out.trim();
    await until('the drain is seen', async () => {
      const why = await pomona.json<Why>(['job', 'why', id]);
      return why.pools.some((pool) =>
        pool.hosts.some((each) => /it is draining/.test(each.reason)),
      );
    });
    await pomona.run(['host', 'resume', host.name]);
    const logs = await pomona.run(['job', 'logs', '-f', id]);
    assert.equal(logs.out, 'at last\n');
  });

  test('commands say with --json what the API says', async () => {
    const ran = await pomona.run(['run', '--detach', '--', 'true']);
    const id = ran.out.trim();
    const show = ['job', 'show', id];
    await until('it ended', async () => (await pomona.json<JobView>(show)).state === 'finished');
    assert.deepEqual(await pomona.cliJson(show), await pomona.json(show));
    for (const list of [
      ['worker', 'list'],
      ['host', 'list'],
      ['job', 'list', '--limit', '1000'],
    ]) {
      const ids = (rows: { id: string }[]) => rows.map((row) => row.id).toSorted();
      await until(`${list.join(' ')} agrees`, async () => {
        const [said, told] = await Promise.all([
          pomona.cliJson<{ id: string }[]>(list),
          pomona.json<{ id: string }[]>(list),
        ]);
        return JSON.stringify(ids(said)) === JSON.stringify(ids(told));
      });
    }
  });

  test('nothing a job leaves behind outlives it', async () => {
    const script = [
      'echo $POMONA_WORKER',
      'setsid sleep 300 >/dev/null 2>&1 &',
      '(trap "" TERM HUP; sleep 300 & sleep 300) >/dev/null 2>&1 &',
      'sh -c "kill -STOP \\$\\$; sleep 300" >/dev/null 2>&1 &',
      'echo x > /tmp/left; echo x > /var/tmp/left; echo x > /dev/shm/left 2>/dev/null',
      'mkdir -p ~/ro/deep && touch ~/ro/deep/f && chmod 0 ~/ro',
    ].join('\n');
    const ran = await pomona.run(['run', '--', 'sh', '-c', script]);
    assert.equal(ran.code, 0, ran.err);
    const worker = ran.out.trim();
    await until('the worker is destroyed', async () => {
      const workers = await pomona.json<WorkerView[]>(['worker', 'list']);
      return workers.every((each) => each.name !== worker);
    });
    assert.deepEqual(await living(`POMONA_WORKER=${worker}`), []);
    assert.equal(
      (await pomona.keeperDirs()).some((dir) => dir.endsWith(worker)),
      false,
    );
    const mounts = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '');
    assert.equal(mounts.includes(worker), false);
    const next = await pomona.run([
      'run',
      '--',
      'sh',
      '-c',
      'ls -A ~ /tmp /var/tmp | grep -c left',
    ]);
    assert.equal(next.out, '0\n');
  });

  test('a second `up` on the same data is refused and told who holds it', async () => {
    const second = await pomona.run(['up', '--data', pomona.data, '--listen', '127.0.0.1:0']);
    assert.equal(second.code, 1);
    assert.match(second.err, /is in use by process \d+ \(pomona up\), since 20/);
  });

  test('a port in use is told as such', async () => {
    const other = await Pomona.make();
    const ran = await other.run([
      'up',
      '--data',
      other.data,
      '--listen',
      `127.0.0.1:${pomona.port}`,
    ]);
    assert.equal(ran.code, 1);
    assert.match(ran.err, /cannot listen on 127\.0\.0\.1:\d+: another program listens there/);
    await other.remove();
  });

  test('a wrong configuration is told with line and column', async () => {
    const file = join(pomona.data, 'wrong.yaml');
    await writeFile(file, 'pools:\n  - name: a\n    reday: 1\n');
    const ran = await pomona.run(['serve', '--data', join(pomona.data, 'x'), '--config', file]);
    assert.equal(ran.code, 1);
    assert.match(ran.err, /wrong\.yaml:3:5: unknown key pools\.0\.reday; did you mean ready\?/);
  });

  test('a job goes on while controller and agent are restarted', async () => {
    const fresh = await Pomona.make();
    const first = await fresh.up();
    const ran = fresh.run(['run', '--', 'sh', '-c', 'echo one; sleep 3; echo two']);
    await until('the job runs', async () => {
      const [job] = await fresh.json<JobView[]>(['job', 'list']);
      return job?.state === 'running';
    });
    await kill(first, 'SIGKILL');
    await fresh.up();
    const { code, out, err } = await ran;
    assert.deepEqual([code, out], [0, 'one\ntwo\n'], err);
    await fresh.remove();
  });
});
