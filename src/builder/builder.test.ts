import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { BuilderFixture, noBuilds } from '../../test/builder-fixture.ts';
import {
  STORE_CASES,
  storePlace,
  storeRootIn,
  titleOf,
  type StorePlace,
} from '../../test/store-places.ts';
import type { BuildEvent } from './report.ts';

const SH = '(shell /bin/sh -c)';

const DISK_MB = 1500;

for (const each of STORE_CASES) {
  const made = noBuilds === false ? storePlace(each, DISK_MB) : noBuilds;
  const skip = typeof made === 'string' ? made : false;
  describe(`a builder over ${titleOf(each)}`, { skip }, () => {
    const place = made as StorePlace;
    let stores = 0;
    after(() => place.remove());

    function fixtureOf(t: TestContext): BuilderFixture {
      stores += 1;
      const storeRoot = storeRootIn(place, `store-${stores}`);
      const fixture = new BuilderFixture({ store: each.store, storeRoot });
      t.after(() => fixture.remove());
      return fixture;
    }

    it('runs each step once, and tells its log again when it is cached', async (t) => {
      const fixture = fixtureOf(t);
      const builder = await fixture.builder();
      const spec = `((from BASE) ${SH} (run (shell "echo hello > /x; echo made")) (run (shell "cat /x")))`;
      const first = await fixture.build(builder, spec);
      assert.equal(first.outcome.outcome, 'succeeded');
      assert.deepEqual(first.how, ['made', 'made', 'made']);
      assert.equal(first.output, 'made\nhello\n');
      const again = await fixture.build(builder, spec);
      assert.deepEqual(again.how, ['cached', 'cached', 'cached']);
      assert.equal(again.output, first.output);
      assert.deepEqual(again.ids, first.ids);
      assert.equal(fixture.fetched, 1);
      const anew = await fixture.build(builder, spec, { noCache: true });
      assert.deepEqual(anew.how, ['cached', 'made', 'made']);
    });

    it('gives commands what the operations before them set', async (t) => {
      const fixture = fixtureOf(t);
      const { outcome, output } = await fixture.build(
        await fixture.builder(),
        `((from BASE) ${SH} (env A one) (env A two) (env B "b b") (workdir /w) (workdir deep)
        (user (uid 1000) (gid 1000))
        (run (shell "echo $A $B; pwd; id -u; id -g; echo hi > f; ls -n f | tr -s ' ' | cut -d' ' -f3,4")))`,
      );
      assert.equal(outcome.outcome, 'succeeded', output);
      assert.equal(output, 'two b b\n/w/deep\n1000\n1000\n1000 1000\n');
    });

    it('copies files with their modes, links and owners, and again only when they change', async (t) => {
      const fixture = fixtureOf(t);
      const { context } = fixture;
      await mkdir(join(context, 'src/.git'), { recursive: true });
      await writeFile(join(context, 'src/program'), '#!/bin/sh\necho ran\n', { mode: 0o755 });
      await writeFile(join(context, 'src/data'), 'data', { mode: 0o640 });
      await writeFile(join(context, 'src/.git/config'), 'left out');
      await symlink('data', join(context, 'src/link'));
      const spec = `((from BASE) ${SH} (user (uid 7) (gid 8))
      (copy (src src) (dst /in/) (exclude .git)) (copy (src src/data) (dst /as))
      (run (shell "cd /in/src && ./program && readlink link && ls -a | tr '\\n' ' ' && stat -c '%a %u %g' data && cat /as")))`;
      const builder = await fixture.builder();
      const first = await fixture.build(builder, spec);
      assert.equal(first.outcome.outcome, 'succeeded', first.output);
      assert.equal(first.output, 'ran\ndata\n. .. data link program 640 7 8\ndata');
      assert.deepEqual((await fixture.build(builder, spec)).how, Array(4).fill('cached'));
      await writeFile(join(context, 'src/.git/config'), 'changed');
      assert.deepEqual((await fixture.build(builder, spec)).how, Array(4).fill('cached'));
      await chmod(join(context, 'src/data'), 0o750);
      assert.deepEqual((await fixture.build(builder, spec)).how, [
        'cached',
        'made',
        'made',
        'made',
      ]);
      await writeFile(join(context, 'src/program'), '#!/bin/sh\necho RAN\n');
      const changed = await fixture.build(builder, spec);
      assert.deepEqual(changed.how, ['cached', 'made', 'made', 'made']);
      assert.match(changed.output, /^RAN/);
    });

    it('follows no link out of the context or out of the build', async (t) => {
      const fixture = fixtureOf(t);
      await symlink('/etc', join(fixture.context, 'out'));
      const builder = await fixture.builder();
      await assert.rejects(
        fixture.build(builder, '((from BASE) (copy (src out/passwd) (dst /x)))'),
        {
          code: 'bad_source',
          message: /out\/passwd does not exist/,
        },
      );
      await assert.rejects(fixture.build(builder, '((from BASE) (copy (src ../x) (dst /x)))'), {
        code: 'bad_source',
        message: /leads out of the context/,
      });
      await writeFile(join(fixture.context, 'file'), 'content');
      const outside = join(fixture.dir, 'outside');
      await mkdir(outside);
      const { outcome } = await fixture.build(
        builder,
        `((from BASE) ${SH} (run (shell "ln -s ${outside} /esc")) (copy (src file) (dst /esc/file))
        (run (shell "cat ${outside}/file")))`,
      );
      assert.equal(outcome.outcome, 'succeeded');
      assert.deepEqual(await readdir(outside), []);
    });

    it('shows secrets to the command that asks for them, and keeps them nowhere', async (t) => {
      const fixture = fixtureOf(t);
      const builder = await fixture.builder();
      const spec = `((from BASE) ${SH} (run (secrets (token (target /run/t))) (shell "wc -c < /run/t")) (run (shell "ls /run")))`;
      await assert.rejects(fixture.build(builder, spec), {
        code: 'unknown_secret',
        message: /spec:1:\d+: secret token is not given; give it by --secret token=FILE/,
      });
      const secret = 'a-very-secret-value';
      const secrets = new Map([['token', Buffer.from(secret)]]);
      const first = await fixture.build(builder, spec, { secrets });
      assert.equal(first.outcome.outcome, 'succeeded', first.output);
      assert.equal(first.output, `${secret.length}\n`);
      assert.deepEqual(
        (await fixture.build(builder, spec, { secrets })).how,
        Array(3).fill('cached'),
      );
      const other = new Map([['token', Buffer.from('another')]]);
      assert.deepEqual((await fixture.build(builder, spec, { secrets: other })).how.slice(0, 2), [
        'cached',
        'made',
      ]);
      for (const entry of await readdir(fixture.storeDir, {
        recursive: true,
        withFileTypes: true,
      })) {
        if (!entry.isFile()) continue;
        const content = await readFile(join(entry.parentPath, entry.name));
        assert(!content.includes(secret), join(entry.parentPath, entry.name));
      }
    });

    it('keeps what a cache holds, whether the command succeeded or not', async (t) => {
      const fixture = fixtureOf(t);
      const builder = await fixture.builder();
      const step = (name: string, command: string) =>
        `((from BASE) ${SH} (env STEP ${name}) (run (cache (c (target /cache/deep))) (shell "${command}")))`;
      await fixture.build(builder, step('1', 'echo one > /cache/deep/f'));
      const failed = await fixture.build(builder, step('2', 'echo two >> /cache/deep/f; exit 3'));
      assert.equal(failed.outcome.outcome, 'failed');
      assert.equal(
        (await fixture.build(builder, step('3', 'cat /cache/deep/f'))).output,
        'one\ntwo\n',
      );
      const untrusted = await fixture.build(
        builder,
        step('4', 'cat /cache/deep/f; echo bad > /cache/deep/f'),
        { trust: 'untrusted' },
      );
      assert.equal(untrusted.output, 'one\ntwo\n');
      assert.equal(
        (await fixture.build(builder, step('5', 'cat /cache/deep/f'))).output,
        'one\ntwo\n',
      );
      const more = await fixture.build(builder, step('6', 'cat /cache/deep/f'), {
        trust: 'untrusted',
      });
      assert.equal(more.output, 'bad\n');
    });

    it('never lets a trusted build use what an untrusted one made', async (t) => {
      const fixture = fixtureOf(t);
      const builder = await fixture.builder();
      const spec = `((from BASE) ${SH} (run (shell "echo x")))`;
      await fixture.build(builder, spec, { trust: 'untrusted' });
      assert.deepEqual((await fixture.build(builder, spec)).how, ['cached', 'made']);
      const other = `((from BASE) ${SH} (run (shell "echo x")) (run (shell "echo y")))`;
      const { how } = await fixture.build(builder, other, { trust: 'untrusted' });
      assert.deepEqual(how, ['cached', 'cached', 'made']);
    });

    it('tells which step failed, keeps its log, and caches nothing of it', async (t) => {
      const fixture = fixtureOf(t);
      const builder = await fixture.builder();
      const spec = `((from BASE) ${SH} (run (shell "echo before; exit 7")) (run (shell "echo never")))`;
      for (const _ of [1, 2]) {
        const { outcome, output } = await fixture.build(builder, spec);
        assert(outcome.outcome === 'failed');
        assert.deepEqual(outcome.ending, { exitCode: 7 });
        assert.deepEqual(
          [outcome.place.index, outcome.place.heading],
          [1, 'run echo before; exit 7'],
        );
        assert.equal(await readFile(outcome.log, 'utf8'), 'before\n');
        assert.equal(output, 'before\n');
      }
      assert.deepEqual(await fixture.clones(), []);
    });

    it('makes nested builds first and at once, and copies from them', async (t) => {
      const fixture = fixtureOf(t);
      const meet = (mine: string, other: string) =>
        `(run (cache (meet (target /m))) (network host) (shell "echo ${mine} > /${mine}; echo ${other} | grep -q ."))`;
      const { outcome, output } = await fixture.build(
        await fixture.builder(),
        `((build one ((from BASE) ${SH} ${meet('one', 'two')}))
        (build two ((from BASE) ${SH} (copy (from (build one)) (src /one) (dst /got/)) (run (shell "cat /got/one > /two"))))
        (from BASE) ${SH}
        (copy (from (build one)) (src one) (dst /in/))
        (copy (from (build two)) (src /two) (dst /in/two))
        (run (shell "cat /in/one /in/two")))`,
      );
      assert.equal(outcome.outcome, 'succeeded', output);
      assert.match(output, /one\none\n$/);
    });

    it('makes a step once for any number of builds that want it', async (t) => {
      const fixture = fixtureOf(t);
      const builders = await Promise.all([fixture.builder(), fixture.builder()]);
      const spec = `((from BASE) ${SH} (run (shell "echo begun; sleep 0.5; echo done; date +%N")))`;
      const builds = await Promise.all(
        [0, 1, 2, 3].map((index) => fixture.build(builders[index % 2] ?? assert.fail(), spec)),
      );
      assert.equal(new Set(builds.map(({ output }) => output)).size, 1);
      assert.equal(new Set(builds.map(({ ids }) => ids[1])).size, 1);
      const made = builds.filter(({ how }) => how[1] === 'made');
      assert.equal(made.length, 1);
      assert.equal(fixture.fetched, 1);
    });

    it('goes on with a step as long as anyone wants it, and ends it with the last', async (t) => {
      const fixture = fixtureOf(t);
      const builder = await fixture.builder();
      const spec = `((from BASE) ${SH} (run (shell "echo begun; sleep 1; echo done")))`;
      const begin = () => {
        const abort = new AbortController();
        const begun = Promise.withResolvers<void>();
        const onEvent = (event: BuildEvent) => {
          if (event.type === 'output') begun.resolve();
        };
        const build = fixture.build(builder, spec, { signal: abort.signal, onEvent });
        return { abort, begun: begun.promise, build };
      };
      const [first, second] = [begin(), begin()];
      await Promise.all([first.begun, second.begun]);
      first.abort.abort();
      assert.equal((await first.build).outcome.outcome, 'cancelled');
      const rest = await second.build;
      assert.equal(rest.outcome.outcome, 'succeeded');
      assert.equal(rest.output, 'begun\ndone\n');

      const other = spec.replace('sleep 1', 'sleep 30');
      const abort = new AbortController();
      const begun = Promise.withResolvers<void>();
      const onEvent = (event: BuildEvent) => {
        if (event.type === 'output') begun.resolve();
      };
      const alone = fixture.build(builder, other, { signal: abort.signal, onEvent });
      await begun.promise;
      const at = performance.now();
      abort.abort();
      assert.equal((await alone).outcome.outcome, 'cancelled');
      while (builder.index.flights().length > 0) await sleep(10);
      assert(performance.now() - at < 5_000);
      assert.deepEqual(await fixture.clones(), []);
    });
  });
}
