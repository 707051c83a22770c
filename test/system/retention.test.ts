import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { JobView } from '../../src/protocol/api/resources.ts';
import { kill, Pomona, until } from './pomona.ts';

test('when logs and artifacts are too large the oldest go, and it is said that they went', async (t) => {
  const pomona = await Pomona.make();
  t.after(() => pomona.remove());
  const first = await pomona.up();
  for (const name of ['old', 'new']) {
    const script = `echo ${name}; head -c 600000 /dev/zero | tr '\\0' x; cp /bin/sh ${name}.bin`;
    const args = ['--artifact', '*.bin', '--output', join(pomona.data, 'out')];
    const ran = await pomona.run(['run', ...args, '--', 'sh', '-c', script]);
    assert.equal(ran.code, 0, ran.err);
  }
  await kill(first, 'SIGTERM');
  const config = join(pomona.data, 'pomona.yaml');
  await writeFile(config, 'retention: { logs: 1MB, artifacts: 150KB }\n');
  await pomona.up();

  const [newer, older] = await pomona.json<JobView[]>(['job', 'list']);
  assert.ok(newer !== undefined && older !== undefined);
  await until('the old log is gone', async () => {
    const { code, err } = await pomona.run(['job', 'logs', older.id]);
    return code === 1 && err.includes(`the log of ${older.id} was removed to make room`);
  });
  const kept = await pomona.run(['job', 'logs', newer.id]);
  assert.match(kept.out, /^new\nx{600000}$/);
  const artifacts = async (id: string): Promise<number> =>
    (await pomona.json<{ artifacts: unknown[] }>(['job', 'show', id])).artifacts.length;
  await until('the old artifact is gone', async () => (await artifacts(older.id)) === 0);
  assert.equal(await artifacts(newer.id), 1);
});
