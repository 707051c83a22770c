import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { JobView, Why, WorkerView } from '../../src/protocol/api/resources.ts';
import { fakeParallels, fakeTart, noFakeVms } from '../fake-vms.ts';
import { Pomona, kill, until } from './pomona.ts';

const FAKES = { tart: fakeTart, parallels: fakeParallels } as const;

for (const [driver, makeFake] of Object.entries(FAKES)) {
  describe(`macOS workers by ${driver} (fake)`, { skip: noFakeVms() }, () => {
    const mac = makeFake();
    let pomona: Pomona;
    let up: Awaited<ReturnType<Pomona['up']>>;
    const run = (script: string, ...options: string[]) =>
      pomona.run(['run', '--label', 'mac', ...options, '--', 'sh', '-c', script]);
    const workers = () => pomona.json<WorkerView[]>(['worker', 'list']);

    before(async () => {
      const { FAKE_TART = '', FAKE_PARALLELS = '' } = process.env;
      pomona = await Pomona.make({ env: { FAKE_TART, FAKE_PARALLELS } });
      const pool = `{ name: macs, labels: [mac], kind: vm, vm: ${driver}, image: macos, max: 5 }`;
      const agent = '{ macosVms: 2, workers: 5 }';
      await writeFile(join(pomona.data, 'pomona.yaml'), `pools:\n  - ${pool}\nagent: ${agent}\n`);
      const imported = await pomona.run(['image', 'import', 'macos', mac.image]);
      assert.equal(imported.code, 0, imported.err);
      up = await pomona.up();
    });
    after(async () => {
      await until('no worker is left', async () => (await workers()).length === 0);
      await kill(up, 'SIGTERM');
      await pomona.remove();
      mac.remove();
    });

    test('a whole job runs in one, as its user, and the next finds it clean', async () => {
      const source = join(pomona.data, 'src');
      await mkdir(source);
      await writeFile(join(source, 'file'), 'content\n');
      await pomona.run(['secret', 'set', 'KEY'], { input: 'very-secret\n' });
      const output = join(pomona.data, 'out');
      const ran = await run(
        'id -un; pwd; cat file; echo "$KEY"; touch ~/left; mkdir dist; echo built > dist/it; exit 4',
        ...['--source', source, '--secret', 'KEY', '--artifact', 'dist/*', '--output', output],
      );
      assert.equal(ran.out, 'admin\n/Users/admin/work\ncontent\n***\n', ran.err);
      assert.equal(ran.code, 4);
      assert.equal(await readFile(join(output, 'dist/it'), 'utf8'), 'built\n');
      assert.equal((await run('ls ~')).out, 'work\n');
    });

    test('two run at a time, and the third is told that the slots are taken', async () => {
      const ids: string[] = [];
      for (let count = 0; count < 3; count += 1) {
        const args = ['run', '--detach', '--label', 'mac', '--', 'sleep', '4'];
        ids.push((await pomona.run(args)).out.trim());
      }
      await until('two run', async () => {
        return (await workers()).filter(({ state }) => state === 'running').length === 2;
      });
      const why = await pomona.json<Why>(['job', 'why', ids[2] ?? '']);
      assert.match(JSON.stringify(why), /all its 2 macOS VM slots are in use/);
      await until('all of them ended', async () => {
        const jobs = await pomona.json<JobView[]>(['job', 'list']);
        return jobs.every(({ state }) => state === 'finished');
      });
      assert.ok(
        (await pomona.json<JobView[]>(['job', 'list'])).every(
          ({ exitCode }) => exitCode !== undefined,
        ),
      );
    });
  });
}
