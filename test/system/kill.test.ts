import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import type { JobView, WorkerView } from '../../src/protocol/api/resources.ts';
import { Pomona, kill, until } from './pomona.ts';

const JOBS = 200;
const AGENTS = ['one', 'two'] as const;

/** Numbers that look random and are the same in each run of a seed. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/**
 * Jobs write a line to a file of their own when they begin and when they end. The sandbox is
 * `process`, so that the files can be where the test sees them.
 */
const POOL = `
pools:
  - name: default
    sandbox: process
    ready: 2
    max: 20
limits:
  hostLostAfter: 60s
`;

test(`${JOBS} jobs end once and rightly while controller, agents and clients are killed`, async (t) => {
  const seed = Number(process.env['POMONA_TEST_SEED'] ?? Date.now() % 1_000_000);
  t.diagnostic(`seed ${seed}; POMONA_TEST_SEED repeats it`);
  const random = seeded(seed);
  const pomona = await Pomona.make();
  const config = join(pomona.data, 'pomona.yaml');
  const marks = join(pomona.data, 'marks');
  await writeFile(config, POOL);
  await writeFile(marks, '');
  const serve = () =>
    pomona.start(['serve', '--data', pomona.data, '--listen', `127.0.0.1:${pomona.port}`]);
  const agent = (name: string) =>
    pomona.start([
      ...['agent', 'run', '--controller', `http://127.0.0.1:${pomona.port}`, '--name', name],
      ...['--data', join(pomona.data, name), '--workers', '4'],
      ...['--join-token-file', join(pomona.data, `${name}.join`)],
    ]);

  let controller = await serve();
  const agents = new Map<string, ChildProcess>();
  for (const name of AGENTS) {
    const made = await pomona.run(['token', 'join', '--output', join(pomona.data, `${name}.join`)]);
    assert.equal(made.code, 0, made.err);
    agents.set(name, await agent(name));
  }

  let over = false;
  let kills = 0;
  const chaos = (async () => {
    while (!over) {
      await sleep(200 + random() * 1_500);
      const name = AGENTS[Math.floor(random() * AGENTS.length)] ?? 'one';
      if (random() < 0.4) {
        await kill(controller, 'SIGKILL');
        await sleep(random() * 300);
        controller = await serve();
      } else {
        const victim = agents.get(name);
        if (victim !== undefined) await kill(victim, 'SIGKILL');
        await sleep(random() * 300);
        agents.set(name, await agent(name));
      }
      kills += 1;
    }
  })();

  const expected = new Map<string, number>();
  const submit = async (index: number): Promise<void> => {
    const code = index % 4 === 0 ? 3 : 0;
    const script = `echo begin ${index} >> ${marks}; sleep 0.${index % 4}; echo line ${index}; echo end ${index} >> ${marks}; exit ${code}`;
    const args = ['run', '--title', `job-${index}`];
    if (index % 5 === 0) {
      // A client that is killed: its job goes on without it.
      const client = pomona.spawn([...args, '--', 'sh', '-c', script]);
      client.stdout?.resume();
      await sleep(500 + random() * 1500);
      await kill(client, 'SIGKILL');
      return;
    }
    expected.set(`job-${index}`, code);
    const ran = await pomona.run([...args, '--', 'sh', '-c', script]);
    assert.deepEqual([ran.code, ran.out], [code, `line ${index}\n`], `job ${index}: ${ran.err}`);
  };
  const waiting = Array.from({ length: JOBS }, (_, index) => index);
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let index = waiting.shift(); index !== undefined; index = waiting.shift()) {
        await submit(index);
      }
    }),
  );
  over = true;
  await chaos;

  await until('every job is finished', async () => {
    const open = await pomona.json<JobView[]>(['job', 'list', '--limit', '1000']);
    return open.every((job) => job.state === 'finished');
  });
  const jobs = await pomona.json<JobView[]>(['job', 'list', '--limit', '1000']);
  for (const [title, code] of expected) {
    const mine = jobs.filter((job) => job.title === title);
    assert.equal(mine.length, 1, `${title} was submitted once`);
    assert.equal(mine[0]?.exitCode, code);
  }
  for (const job of jobs) assert.notEqual(job.outcome, 'lost', `${job.title}: ${job.reason}`);

  const lines = (await readFile(marks, 'utf8')).trim().split('\n');
  assert.equal(new Set(lines).size, lines.length, 'no job ran twice');
  assert.equal(lines.filter((line) => line.startsWith('end')).length, jobs.length);

  await until('only the warm workers are left', async () => {
    const workers = await pomona.json<WorkerView[]>(['worker', 'list']);
    return workers.length === 2 && workers.every((worker) => worker.state === 'ready');
  });
  const dirs = (await Promise.all(AGENTS.map((name) => pomona.keeperDirs(name)))).flat();
  assert.equal(dirs.length, 2, 'no worker leaked its directory');
  for (const name of AGENTS) {
    const clones = await readdir(join(pomona.data, name, 'stores', 'copy', 'clones')).catch(
      () => [],
    );
    for (const clone of clones)
      assert.ok(
        dirs.some((dir) => dir.endsWith(clone)),
        clone,
      );
  }
  t.diagnostic(`${kills} kills over ${jobs.length} jobs`);
  await kill(controller, 'SIGTERM');
  for (const child of agents.values()) await kill(child, 'SIGTERM');
  await pomona.remove();
});
