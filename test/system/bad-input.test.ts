import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { JobView, WorkerView } from '../../src/protocol/api/resources.ts';
import { NO_SMALL_FS, smallFs } from '../small-fs.ts';
import { Pomona, until } from './pomona.ts';

const FAKETIME = [
  '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1',
  '/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1',
].find((path) => existsSync(path));

describe('bad luck and bad input', () => {
  test('a token that expired is refused, and the next step is told', async (t) => {
    const pomona = await Pomona.make();
    t.after(() => pomona.remove());
    await pomona.up();
    const made = await pomona.json<{ token: string }>([
      ...['token', 'create', 'short', '--role', 'viewer', '--ttl', '1s'],
    ]);
    const env = { POMONA_URL: `http://127.0.0.1:${pomona.port}`, POMONA_TOKEN: made.token };
    assert.equal((await pomona.run(['job', 'list'], { env })).code, 0);
    await until('it expired', async () => (await pomona.run(['job', 'list'], { env })).code !== 0);
    const refused = await pomona.run(['job', 'list'], { env });
    assert.match(refused.err, /the token is unknown, expired or was revoked/);
  });

  test(
    'a clock that jumps neither ends, loses nor repeats a job',
    { skip: FAKETIME === undefined && 'libfaketime is not installed (Debian: faketime)' },
    async (t) => {
      // Below the data directory, which the test makes: the file is there before `up` starts.
      const clock = `/tmp/pomona-clock-${process.pid}`;
      await writeFile(clock, '+0\n');
      t.after(() => rm(clock, { force: true }));
      const pomona = await Pomona.make({
        env: {
          LD_PRELOAD: FAKETIME ?? '',
          FAKETIME_TIMESTAMP_FILE: clock,
          FAKETIME_NO_CACHE: '1',
          FAKETIME_DONT_FAKE_MONOTONIC: '1',
        },
      });
      t.after(() => pomona.remove());
      await pomona.up();
      for (const jump of ['+2h', '-2h', '+0']) {
        const running = pomona.run([
          ...['run', '--timeout', '60s', '--', 'sh', '-c', 'echo begun; sleep 2; echo over'],
        ]);
        await until('the job runs', async () => {
          // Not by the order of the list: it is by time, which jumps.
          const jobs = await pomona.json<JobView[]>(['job', 'list', '--state', 'running']);
          return jobs.length === 1;
        });
        await writeFile(clock, `${jump}\n`);
        const ran = await running;
        assert.deepEqual([ran.code, ran.out], [0, 'begun\nover\n'], `${jump}: ${ran.err}`);
      }
      const jobs = await pomona.json<JobView[]>(['job', 'list']);
      assert.deepEqual(
        jobs.map((job) => [job.outcome, job.epoch]),
        [1, 2, 3].map(() => ['succeeded', 1]),
      );
      const [host] = await pomona.json<{ name: string; online: boolean }[]>(['host', 'list']);
      assert.equal(host?.online, true);
      await pomona.run(['host', 'drain', host.name]);
      await until('no worker is left', async () => {
        return (await pomona.json<WorkerView[]>(['worker', 'list'])).length === 0;
      });
    },
  );

  test(
    'on a full disk a job waits or ends with the reason, and all goes on when there is room',
    { skip: NO_SMALL_FS },
    async (t) => {
      const disk = await smallFs(t, 24 * 2 ** 20);
      await chmod(disk, 0o711);
      const pomona = await Pomona.make({ data: join(disk, 'data') });
      // Not by `t.after`, which would come when the disk is gone.
      try {
        await pomona.up();
        const before = await pomona.run(['run', '--', 'echo', 'before']);
        assert.deepEqual([before.code, before.out], [0, 'before\n'], before.err);

        const ballast = join(disk, 'ballast');
        const running = pomona.run([
          ...['run', '--', 'sh', '-c', 'for i in 1 2 3 4 5 6; do echo line $i; sleep 0.5; done'],
        ]);
        await until('the job runs', async () => {
          const [job] = await pomona.json<JobView[]>(['job', 'list']);
          return job?.state === 'running';
        });
        await writeFile(ballast, Buffer.alloc(64 * 2 ** 20)).catch(() => undefined);
        const refused = await pomona.run(['run', '--', 'true']);
        await rm(ballast);
        const ran = await running;
        assert.deepEqual(
          [ran.code, ran.out],
          [0, [1, 2, 3, 4, 5, 6].map((n) => `line ${n}\n`).join('')],
          ran.err,
        );
        assert.ok(refused.code === 0 || /full/.test(refused.err), refused.err);
        const after = await pomona.run(['run', '--', 'echo', 'after']);
        assert.deepEqual([after.code, after.out], [0, 'after\n'], after.err);
      } finally {
        await pomona.remove();
      }
    },
  );

  test('a log of 100 MB comes through whole, and no process of Pomona grows with it', async (t) => {
    const pomona = await Pomona.make();
    t.after(() => pomona.remove());
    const server = await pomona.up();
    const script =
      'head -c 100000000 /dev/zero | tr "\\0" "x" | fold -w 99 | md5sum >&2;' +
      'head -c 100000000 /dev/zero | tr "\\0" "x" | fold -w 99';
    let peak = 0;
    const watching = setInterval(() => {
      void rssOf(server.pid ?? 0).then((bytes) => (peak = Math.max(peak, bytes)));
    }, 50);
    const ran = await pomona.run(['run', '--', 'sh', '-c', script]);
    clearInterval(watching);
    assert.equal(ran.code, 0, ran.err);
    const [md5 = ''] = ran.out.split(' ', 1);
    const body = ran.out.slice(ran.out.indexOf('\n') + 1);
    assert.equal(createHash('md5').update(body).digest('hex'), md5);
    assert.ok(peak < 400e6, `${peak} bytes`);
  });
});

async function rssOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
}
