import assert from 'node:assert/strict';
import { rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { findProcesses } from '../platform/process-table.ts';
import { removeTree } from '../platform/tree.ts';
import { BuilderFixture, noBuilds } from '../../test/builder-fixture.ts';
import { storePlace, type StoreCase } from '../../test/store-places.ts';

const SH = '(from BASE) (shell /bin/sh -c)';

function fixtureOf(t: TestContext, store = 'copy', logBytes?: number): BuilderFixture {
  const fixture = new BuilderFixture({ store, ...(logBytes === undefined ? {} : { logBytes }) });
  t.after(() => fixture.remove());
  return fixture;
}

describe('a builder whose commands misbehave', { skip: noBuilds }, () => {
  it('ends what a command left running, and keeps its result', async (t) => {
    const fixture = fixtureOf(t);
    const { outcome, output } = await fixture.build(
      await fixture.builder(),
      `(${SH} (run (shell "setsid sh -c \\"trap '' TERM HUP INT; sleep 4712\\" & echo started")))`,
    );
    assert.equal(outcome.outcome, 'succeeded', output);
    assert.deepEqual(await findProcesses({ argument: '4712' }), []);
  });

  it('ends a command that ignores being asked to, and caches nothing', async (t) => {
    const fixture = fixtureOf(t);
    const builder = await fixture.builder();
    const stop = new AbortController();
    const { outcome } = await fixture.build(
      builder,
      `(${SH} (run (shell "trap '' TERM INT HUP; echo begun; while :; do sleep 4713; done")))`,
      {
        signal: stop.signal,
        onEvent: (event) => {
          if (event.type === 'output') stop.abort();
        },
      },
    );
    assert.deepEqual(outcome, { outcome: 'cancelled' });
    await builder.close(AbortSignal.abort());
    assert.deepEqual(await findProcesses({ argument: '4713' }), []);
    const after = await fixture.builder();
    assert.deepEqual(
      after.index.results().map(({ heading }) => heading),
      ['from base'],
    );
  });

  it('keeps so much of a log and no more, with or without ends of lines', async (t) => {
    const LIMIT = 100_000;
    const fixture = fixtureOf(t, 'copy', LIMIT);
    const builder = await fixture.builder();
    const spec = `(${SH} (run (shell "head -c 50000000 /dev/zero | tr '\\\\0' x; echo; echo over")))`;
    const { outcome, output } = await fixture.build(builder, spec);
    assert.equal(outcome.outcome, 'succeeded');
    assert.match(
      output.slice(-80),
      /\npomona: the log is longer than 100000 bytes; the rest is not kept\n$/,
    );
    assert(output.length < LIMIT + 100, `${output.length}`);
    const again = await fixture.build(builder, spec);
    assert.equal(again.output, output);
    const row = builder.index.results().find(({ heading }) => heading.startsWith('run'));
    const { size } = await stat(builder.logPath(row?.log ?? ''));
    assert(size < LIMIT + 100, `${size}`);
  });

  it('goes on with what a command prints without end until it is stopped', async (t) => {
    const fixture = fixtureOf(t, 'copy', 100_000);
    const stop = new AbortController();
    const { outcome } = await fixture.build(
      await fixture.builder(),
      `(${SH} (run (shell "yes | tr -d '\\\\n'")))`,
      {
        signal: stop.signal,
        onEvent: (event) => {
          const last = event.type === 'output' && event.data.includes('the rest is not kept');
          if (last) stop.abort();
        },
      },
    );
    assert.deepEqual(outcome, { outcome: 'cancelled' });
  });

  it('reads the log of a step that is being made, from anywhere, to its end', async (t) => {
    const fixture = fixtureOf(t);
    const builder = await fixture.builder();
    const begun = Promise.withResolvers<void>();
    const building = fixture.build(
      builder,
      `(${SH} (run (shell "echo one; sleep 0.5; echo two; sleep 0.5; echo three")))`,
      {
        onEvent: (event) => {
          if (event.type === 'output') begun.resolve();
        },
      },
    );
    await begun.promise;
    const [flight] = (await fixture.builder()).index.flights();
    const read = async (offset: number) => {
      let text = '';
      const options = { offset, follow: true, signal: new AbortController().signal };
      const end = await builder.readLog(flight?.id ?? '', options, (chunk) => {
        text += chunk.toString();
      });
      return [text, end];
    };
    const [whole, rest] = await Promise.all([read(0), read(4)]);
    assert.deepEqual(
      [whole, rest],
      [
        ['one\ntwo\nthree\n', 14],
        ['two\nthree\n', 14],
      ],
    );
    await building;
    assert.deepEqual(await read(8), ['three\n', 14]);
  });
});

describe('a builder whose store or base is not what it was', { skip: noBuilds }, () => {
  it('says that a base is gone, and builds again when it is back', async (t) => {
    const fixture = fixtureOf(t);
    const builder = await fixture.builder();
    await assert.rejects(fixture.build(builder, `((from gone) (run (shell true)))`), /gone/);
    const { outcome } = await fixture.build(builder, `(${SH} (run (shell "echo x")))`);
    assert.equal(outcome.outcome, 'succeeded');
  });

  it('makes anew what the store lost', async (t) => {
    const fixture = fixtureOf(t);
    const builder = await fixture.builder();
    const spec = (last: string) => `(${SH} (run (shell "echo one > /f")) (run (shell "${last}")))`;
    const first = await fixture.build(builder, spec('cat /f'));
    assert.equal(first.outcome.outcome, 'succeeded');
    await removeTree(join(fixture.storeRoot, 'snapshots', `result.${first.ids[1]}`));
    const problems = await builder.verify();
    assert.equal(problems.length, 1, JSON.stringify(problems));
    await assert.rejects(
      fixture.build(builder, spec('cat /f; true')),
      /build again to make it anew/,
    );
    const again = await fixture.build(builder, spec('cat /f; true'));
    assert.equal(again.outcome.outcome, 'succeeded', again.output);
    assert.equal(again.output, 'one\n');
  });

  it('makes anew a base that is gone from the store', async (t) => {
    const fixture = fixtureOf(t);
    const builder = await fixture.builder();
    const first = await fixture.build(builder, `(${SH} (run (shell "echo 1")))`);
    await removeTree(join(fixture.storeRoot, 'snapshots', `base-image.${first.ids[0]}`));
    const spec = `(${SH} (run (shell "echo 2")))`;
    await assert.rejects(fixture.build(builder, spec), /build again to make it anew/);
    assert.equal((await fixture.build(builder, spec)).output, '2\n');
    assert.equal(fixture.fetched, 2);
  });

  it('tells that a log is gone, and builds on', async (t) => {
    const fixture = fixtureOf(t);
    const builder = await fixture.builder();
    const spec = `(${SH} (run (shell "echo 1")))`;
    await fixture.build(builder, spec);
    const row = builder.index.results().find(({ heading }) => heading.startsWith('run'));
    await rm(builder.logPath(row?.log ?? ''));
    const again = await fixture.build(builder, spec);
    assert.deepEqual([again.outcome.outcome, again.output], ['succeeded', '']);
    assert.match(JSON.stringify(await builder.verify()), /log/);
  });
});

const DISKS: readonly StoreCase[] = [
  { store: 'overlayfs', on: 'ext4' },
  { store: 'btrfs', on: 'btrfs' },
  { store: 'reflink', on: 'xfs' },
];

for (const disk of DISKS) {
  it(
    `a command that fills the disk of ${disk.store} fails, and caches nothing`,
    { skip: noBuilds },
    async (t) => {
      const place = storePlace(disk, 320);
      if (typeof place === 'string') return t.skip(place);
      const fixture = new BuilderFixture({ store: disk.store, storeRoot: place.root });
      try {
        const builder = await fixture.builder();
        const filled = await fixture.build(
          builder,
          `(${SH} (run (shell "dd if=/dev/urandom of=/big bs=1M count=400")))`,
        );
        assert.equal(filled.outcome.outcome, 'failed', filled.output);
        assert.match(filled.output, /No space left on device/);
        await writeFile(join(fixture.context, 'file'), 'x');
        const after = await fixture.build(builder, `(${SH} (run (shell "echo fits")))`);
        assert.equal(after.outcome.outcome, 'succeeded');
        assert.deepEqual(
          builder.index.results().map(({ heading }) => heading),
          ['from base', 'run echo fits'],
        );
      } finally {
        await fixture.remove();
        place.remove();
      }
    },
  );
}
