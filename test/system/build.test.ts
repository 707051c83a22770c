import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync } from 'node:fs';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { findProcesses } from '../../src/platform/process-table.ts';
import { removeTree } from '../../src/platform/tree.ts';
import { noBuilds } from '../builder-fixture.ts';
import { makeRoot, staticBusybox } from '../contract/root-file-system.ts';

const POMONA = fileURLToPath(new URL('../../bin/pomona', import.meta.url));
const SH = '(from ./base) (shell /bin/sh -c)';

describe('pomona build', { skip: noBuilds }, () => {
  let dir = '';
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'pomona-build-'));
    chmodSync(dir, 0o711);
    mkdirSync(join(dir, 'base'));
    makeRoot(join(dir, 'base'), staticBusybox() ?? '');
  });
  after(() => removeTree(dir));

  function start(...args: string[]) {
    const store = ['--store', `copy:${join(dir, 'store')}`];
    const child = spawn(POMONA, [...args, ...(args[0] === 'spec' ? [] : store)], {
      cwd: dir,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const said = Promise.all([text(child.stdout), text(child.stderr)]);
    const ended = (async () => {
      const [[out, err], [code, signal]] = await Promise.all([
        said,
        once(child, 'exit') as Promise<[number | null, string | null]>,
      ]);
      return { out, err, code: code ?? signal };
    })();
    return { child, ended };
  }
  const pomona = (...args: string[]) => start(...args).ended;
  const spec = (name: string, content: string) => writeFile(join(dir, name), content);

  test('builds, then finds everything cached, and ends with the result’s id', async () => {
    await spec('a.spec', `(${SH} (run (shell "echo hello")) (run (shell "echo again")))`);
    const first = await pomona('build', 'a.spec');
    assert.equal(first.code, 0, first.err);
    assert.match(first.out, /\(1\/2\) run echo hello\nhello\nmade [0-9a-f]{14} in /);
    const id = /Built in .* \(0 cached, 3 made\)\n([0-9a-f]{64})\n$/.exec(first.out)?.[1];
    assert(id !== undefined, first.out);
    const second = await pomona('build', 'a.spec', '--json');
    const lines = second.out.trimEnd().split('\n');
    const events = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.deepEqual(
      events.filter(({ type }) => type === 'done').map(({ how }) => how),
      ['cached', 'cached', 'cached'],
    );
    assert.deepEqual(
      { ...events.at(-1), ms: 0 },
      { type: 'result', ms: 0, outcome: 'succeeded', id },
    );
  });

  test('a failed step ends it with 1 and says where its log is', async () => {
    await spec('fails.spec', `(${SH} (run (shell "echo why; exit 9")))`);
    const { code, out } = await pomona('build', 'fails.spec');
    assert.equal(code, 1);
    assert.match(out, /Failed: step 1 \(run echo why; exit 9\) ended with 9/);
    const log = /Its log: (.*)\n/.exec(out)?.[1] ?? '';
    assert.equal(await readFile(log, 'utf8'), 'why\n');
    const id = /([0-9a-f]{40})\.\d+\.log$/.exec(log)?.[1] ?? '';
    const shown = await pomona('store', 'log', id, '--offset', '1');
    assert.deepEqual([shown.code, shown.out], [0, 'hy\n'], shown.err);
    assert.match(shown.err, /the log ends at 4/);
    assert.match((await pomona('store', 'log', 'ffffff')).err, /no result has an id that begins/);
  });

  test('wrong input is told, with what to do', async () => {
    await spec('wrong.spec', '((from ./base)\n (rnu (shell x)))');
    await spec('nobase.spec', '((from ./nothing))');
    await spec('secret.spec', `(${SH} (run (secrets (s)) (shell "cat /run/secrets/s")))`);
    for (const [args, code, message] of [
      [['wrong.spec'], 1, /wrong\.spec:2:2: there is no operation rnu; did you mean run\?/],
      [['missing.spec'], 2, /missing\.spec cannot be read/],
      [['nobase.spec'], 1, /from \.\/nothing: the base .* is no directory that can be read/],
      [['secret.spec'], 1, /secret\.spec:1:\d+: secret s is not given; give it by --secret s=FILE/],
      [['a.spec', '--secret', 'x'], 2, /--secret expects ID=FILE, not x/],
      [['a.spec', '--secret', 'x=/no'], 2, /secret x: \/no cannot be read/],
      [['a.spec', '--sandbox', 'bubble'], 2, /there is no sandbox bubble/],
      [['a.spec', '/nowhere'], 1, /from \.\/base: the base \/nowhere\/base is no directory/],
    ] as const) {
      const result = await pomona('build', ...args);
      assert.match(result.err, message, args.join(' '));
      assert.equal(result.code, code, `${args.join(' ')}: ${result.err}`);
    }
  });

  test('two processes make an equal step once, and both print the whole log', async () => {
    await spec(
      'slow.spec',
      `(${SH} (run (shell "echo begun; sleep 1; cat /proc/sys/kernel/random/uuid")))`,
    );
    const builds = await Promise.all([pomona('build', 'slow.spec'), pomona('build', 'slow.spec')]);
    const uuids = builds.map(({ out }) => /begun\n([0-9a-f-]{36})\n/.exec(out)?.[1]);
    assert(uuids[0] !== undefined && uuids[0] === uuids[1], JSON.stringify(builds));
  });

  test('a killed build goes on where it was, and one that waited for it takes over at once', async () => {
    await spec(
      'killed.spec',
      `(${SH} (run (shell "echo one")) (run (shell "echo two; test -e /slow || sleep 2; echo three")))`,
    );
    const first = start('build', 'killed.spec');
    await printed(first.child, 'two');
    const second = start('build', 'killed.spec');
    await printed(second.child, 'another build is making this step');
    first.child.kill('SIGKILL');
    const [, ended] = await Promise.all([first.ended.catch(() => undefined), second.ended]);
    assert.equal(ended.code, 0, ended.err);
    const again = await pomona('build', 'killed.spec');
    assert.match(again.out, /\(3 cached, 0 made\)/);
    assert.match(again.out, /two\nthree\n/);
  });

  test('killed at any moment, it leaves nothing that the next build does not clean up', async () => {
    await spec(
      'many.spec',
      `(${SH} ${Array.from({ length: 6 }, (_, index) => `(run (cache (c (target /c))) (shell "echo ${index} > /f${index}; sleep 0.05"))`).join(' ')})`,
    );
    for (let round = 0; round < 8; round += 1) {
      const { child, ended } = start('build', 'many.spec', '--no-cache');
      setTimeout(() => child.kill('SIGKILL'), 120 + round * 60);
      await ended;
    }
    const last = await pomona('build', 'many.spec');
    assert.equal(last.code, 0, last.err);
    const { out, code } = await pomona('store', 'verify');
    assert.equal(out, 'Index and store agree\n');
    assert.equal(code, 0);
    const store = join(dir, 'store');
    assert.deepEqual(await readdir(join(store, 'clones')), []);
    assert.deepEqual(await readdir(join(store, 'state/tmp')), []);
    assert.deepEqual(await findProcesses({ environment: 'POMONA_WORKER=none' }), []);
  });

  test('Ctrl-C ends it with 130, and its step with it', async () => {
    await spec('endless.spec', `(${SH} (run (shell "echo begun; sleep 600")))`);
    const { child, ended } = start('build', 'endless.spec');
    child.stdout?.on('data', (chunk) => String(chunk).includes('begun') && child.kill('SIGINT'));
    assert.equal((await ended).code, 130);
    assert.deepEqual(await readdir(join(dir, 'store/clones')), []);
  });

  test('a reader that leaves, as `head` does, ends it as an interrupt does', async () => {
    await spec('yes.spec', `(${SH} (run (shell "yes")))`);
    const command = `"${POMONA}" build yes.spec --store "copy:${dir}/store" | head -n 3`;
    const child = spawn('/bin/sh', ['-c', command], {
      cwd: dir,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    assert.match(await text(child.stdout), /from \.\/base/);
    assert.deepEqual(await readdir(join(dir, 'store/clones')), []);
  });

  test('a matrix is built with what its cells have in common once, and compared', async () => {
    await writeFile(
      join(dir, 'health.yaml'),
      `name: health
spec: |
  ((from ./base) (shell /bin/sh -c)
   (run (shell "cat /proc/sys/kernel/random/uuid > /prefix; sleep 0.3"))
   (run (shell "cat /prefix; test \${{ row }} != broken || exit 20; test \${{ row }}-\${{ version }} != lwt-2")))
rows: [dune, lwt, broken, left-out]
columns: { one: { version: 1 }, two: { version: 2 } }
statuses: { 20: not-available }
skip: [{ row: left-out, reason: not yet }]
`,
    );
    const first = await pomona('build', '--matrix', 'health.yaml', '--json');
    assert.equal(first.code, 0, first.err);
    const report = JSON.parse(first.out) as { cells: Record<string, string>[] };
    assert.deepEqual(
      report.cells.map(({ row, column, status }) => `${row} ${column} ${status}`),
      [
        ...['dune one good', 'lwt one good', 'broken one not-available', 'left-out one skipped'],
        ...['dune two good', 'lwt two bad', 'broken two not-available', 'left-out two skipped'],
      ],
    );
    const logs = await Promise.all(
      ['dune@one', 'lwt@two'].map((name) =>
        readFile(join(dir, `health-report/logs/${name}.log`), 'utf8'),
      ),
    );
    const uuids = logs.map((log) => /[0-9a-f-]{36}/.exec(log)?.[0]);
    assert(uuids[0] !== undefined && uuids[0] === uuids[1], logs.join());
    const broken = (await readFile(join(dir, 'health.yaml'), 'utf8')).replace(
      '!= lwt-2',
      '!= lwt-1',
    );
    await writeFile(join(dir, 'health.yaml'), broken);
    const second = await pomona(
      ...['build', '--matrix', 'health.yaml', '--report', 'second'],
      ...['--compare', 'health-report/report.json'],
    );
    assert.equal(second.code, 1);
    assert.match(
      second.out,
      /broken {2}lwt on one: good -> bad\n {2}fixed {3}lwt on two: bad -> good/,
    );
    assert.match(await readFile(join(dir, 'second/index.html'), 'utf8'), /<td class="bad"/);
    await writeFile(join(dir, 'health.yaml'), broken.replace('rows: [dune', 'rows: [dune, dune'));
    const wrong = await pomona('build', '--matrix', 'health.yaml');
    assert.match(wrong.err, /rows: dune is there twice/);
    assert.match((await pomona('build')).err, /expected FILE/);
  });

  test('a store is pruned, but for what a pin names', async () => {
    assert.equal((await pomona('build', 'a.spec', '--pin', 'kept')).code, 0);
    const { out } = await pomona('store', 'prune', '--json');
    const { removed } = JSON.parse(out) as { removed: string[] };
    assert(removed.length > 0);
    assert.match((await pomona('build', 'a.spec')).out, /\(3 cached, 0 made\)/);
    const list = JSON.parse((await pomona('store', 'du', '--json')).out) as { results: unknown[] };
    assert.equal(list.results.length, 3);
    assert.equal((await pomona('store', 'unpin', 'kept')).code, 0);
    assert.equal((await pomona('store', 'prune')).code, 0);
    assert.match((await pomona('store', 'unpin', 'kept')).err, /there is no pin kept/);
    const doctor = JSON.parse((await pomona('store', 'doctor', '--json')).out) as Record<
      string,
      unknown
    >;
    assert.equal(doctor['results'], 0);
  });
});

function printed(child: ChildProcess, wanted: string): Promise<void> {
  return new Promise((resolve) => {
    let all = '';
    child.stdout?.on('data', (chunk) => {
      all += String(chunk);
      if (all.includes(wanted)) resolve();
    });
  });
}

test('specs are checked, formatted and converted by the command line', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'pomona-spec-'));
  t.after(() => removeTree(dir));
  const file = join(dir, 'x.spec');
  await writeFile(file, '((from   debian) (run (shell   "make")))');
  const run = async (...args: string[]) => {
    const child = spawn(POMONA, ['spec', ...args], { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] });
    const [out, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
    return { out, code: code as number };
  };
  assert.deepEqual(await run('fmt', '--check', file), {
    out: `${file} is not in its usual form\n`,
    code: 1,
  });
  assert.equal((await run('fmt', file)).code, 0);
  assert.equal(await readFile(file, 'utf8'), '((from debian)\n (run (shell make)))\n');
  assert.deepEqual(await run('fmt', '--check', file), { out: '', code: 0 });
  const { out: yaml } = await run('convert', file);
  assert.equal(yaml, 'from: debian\nsteps:\n  - run: make\n');
  await writeFile(join(dir, 'x.yaml'), yaml);
  assert.equal((await run('convert', 'x.yaml')).out, await readFile(file, 'utf8'));
  const { out: ids } = await run('ids', '--obuilder', 'x.yaml', '--json');
  assert.equal((JSON.parse(ids) as unknown[]).length, 2);
});
