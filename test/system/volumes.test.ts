import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { JobView, Why, WorkerView } from '../../src/protocol/api/resources.ts';
import { debianGuest } from '../debian-guest.ts';
import { fakeParallels, fakeTart, noFakeVms } from '../fake-vms.ts';
import { Pomona, kill, until } from './pomona.ts';

interface Kind {
  /** Only what hangs on the driver is tried. */
  readonly brief?: true;
  readonly skip: string | false;
  /** Of pools, as in pomona.yaml, and what they are made from. */
  prepare(): { readonly pool: string; readonly image?: string; remove?(): void };
}

const guest = debianGuest();
const noMounts =
  spawnSync('bwrap', ['--ro-bind', '/', '/', 'true']).status === 0
    ? false
    : 'bubblewrap does not work here';

const KINDS: Readonly<Record<string, Kind>> = {
  'sandboxes (bubblewrap)': {
    skip: noMounts,
    prepare: () => ({ pool: 'sandbox: bubblewrap' }),
  },
  'virtual machines (qemu)': {
    brief: true,
    skip: 'none' in guest ? guest.none : false,
    prepare: () => ({
      pool: 'kind: vm, vm: qemu, guest: linux, limits: { cpus: 1, memory: 256MiB }, image: small',
      image: 'none' in guest ? '' : guest.dir,
    }),
  },
  'virtual machines (tart, fake)': {
    skip: noFakeVms(),
    prepare() {
      const mac = fakeTart();
      const pool = 'kind: vm, vm: tart, image: small';
      return { pool, image: mac.image, remove: () => mac.remove() };
    },
  },
  'virtual machines (parallels, fake)': {
    brief: true,
    skip: noFakeVms(),
    prepare() {
      const mac = fakeParallels();
      const pool = 'kind: vm, vm: parallels, image: small';
      return { pool, image: mac.image, remove: () => mac.remove() };
    },
  },
};

for (const [name, kind] of Object.entries(KINDS)) {
  describe(`volumes of ${name}`, { skip: kind.skip }, () => {
    let pomona: Pomona;
    let up: Awaited<ReturnType<Pomona['up']>>;
    let prepared: ReturnType<Kind['prepare']>;
    const run = (label: string, script: string) =>
      pomona.run(['run', '--label', label, '--', 'sh', '-c', script]);
    const noWorkers = () =>
      until('no worker is left', async () => {
        return (await pomona.json<WorkerView[]>(['worker', 'list'])).length === 0;
      });

    before(async () => {
      prepared = kind.prepare();
      const { FAKE_TART = '', FAKE_PARALLELS = '' } = process.env;
      pomona = await Pomona.make({ env: { FAKE_TART, FAKE_PARALLELS } });
      const pools = [
        ['copies', 'copies', 'trusted'],
        ['strangers', 'copies', 'untrusted'],
        ['own', 'exclusive', 'trusted'],
      ].map(
        ([pool, mode, trust]) =>
          `  - { name: ${pool}, labels: [${pool}], ${prepared.pool}, max: 2, trust: ${trust}, volumes: [{ name: ccache, path: caches/ccache, mode: ${mode}, size: 32MiB }] }\n`,
      );
      const config = `pools:\n${pools.join('')}agent: { macosVms: 2, workers: 4 }\n`;
      await writeFile(join(pomona.data, 'pomona.yaml'), config);
      if (prepared.image !== undefined) {
        const imported = await pomona.run(['image', 'import', 'small', prepared.image]);
        assert.equal(imported.code, 0, imported.err);
      }
      up = await pomona.up();
    });
    after(async () => {
      await noWorkers();
      await kill(up, 'SIGTERM');
      await pomona.remove();
      prepared.remove?.();
    });

    test('what a job that succeeds leaves is there for the next, and of no other', async () => {
      const first = await run('copies', 'ls ~/caches/ccache; echo one > ~/caches/ccache/kept');
      assert.equal(first.code, 0, first.err + first.out);
      await noWorkers();
      const failing = await run(
        'copies',
        'cat ~/caches/ccache/kept; echo x > ~/caches/ccache/lost; exit 3',
      );
      assert.deepEqual([failing.out, failing.code], ['one\n', 3], failing.err);
      await noWorkers();
      const last = await run('copies', 'ls ~/caches/ccache | grep -v lost+found');
      assert.equal(last.out, 'kept\n', last.err);
    });

    const brief = kind.brief === true && 'as with the other drivers';
    test('what strangers leave is seen by strangers alone', { skip: brief }, async () => {
      const stranger = await run(
        'strangers',
        'ls ~/caches/ccache | grep -v lost+found; echo bad > ~/caches/ccache/bad',
      );
      assert.deepEqual([stranger.out, stranger.code], ['', 0], stranger.err);
      await noWorkers();
      assert.equal((await run('copies', 'ls ~/caches/ccache | grep -v lost+found')).out, 'kept\n');
      assert.equal((await run('strangers', 'cat ~/caches/ccache/bad')).out, 'bad\n');
    });

    test(
      'an exclusive one is of one worker at a time, whatever becomes of its job',
      { skip: brief },
      async () => {
        const long = 'echo half > ~/caches/ccache/half; sync; sleep 6; exit 1';
        const args = ['run', '--detach', '--label', 'own', '--'];
        const first = (await pomona.run([...args, 'sh', '-c', long])).out.trim();
        await until('it runs', async () => {
          return (await pomona.json<JobView>(['job', 'show', first])).state === 'running';
        });
        const second = (await pomona.run([...args, 'cat', 'caches/ccache/half'])).out.trim();
        const why = await pomona.json<Why>(['job', 'why', second]);
        assert.match(
          JSON.stringify(why),
          /its volume ccache is in use by another worker of the pool/,
        );
        await pomona.run(['job', 'cancel', second]);
        await noWorkers();
        const third = await run('own', 'cat ~/caches/ccache/half');
        assert.deepEqual([third.out, third.code], ['half\n', 0], third.err);
      },
    );

    test(
      'nothing of it is left beside the newest versions, the agent killed or not',
      { skip: brief },
      async () => {
        const args = [
          'run',
          '--detach',
          '--label',
          'copies',
          '--',
          'sh',
          '-c',
          'echo two > ~/caches/ccache/two; sleep 3',
        ];
        const id = (await pomona.run(args)).out.trim();
        await until('it runs', async () => {
          return (await pomona.json<JobView>(['job', 'show', id])).state === 'running';
        });
        await kill(up, 'SIGKILL');
        up = await pomona.up();
        await until('it succeeded', async () => {
          return (await pomona.json<JobView>(['job', 'show', id])).outcome === 'succeeded';
        });
        await noWorkers();
        assert.equal((await run('copies', 'cat ~/caches/ccache/two')).out, 'two\n');
        await noWorkers();
        const dir = join(pomona.data, 'agent/volumes');
        assert.deepEqual(await readdir(join(dir, 'uses')), []);
        assert.equal((await readdir(join(dir, 'state'))).length, 3);
        assert.match((await pomona.run(['volume', 'list'])).out, /copies +ccache +trusted +copies/);
        assert.match(
          (await pomona.run(['volume', 'remove', 'copies', 'x'])).err,
          /there are: copies ccache/,
        );
        assert.equal((await pomona.run(['volume', 'remove', 'copies', 'ccache'])).code, 0);
        assert.equal((await run('copies', 'ls ~/caches/ccache')).out, '');
      },
    );
  });
}
