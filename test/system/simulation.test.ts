import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { MUTANTS, type Mutant } from '../mutants/mutants.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PROGRAM = join('src', 'cli', 'main.ts');
/** Fleets that are played each time, all of them with everything that goes wrong. */
const SEEDS = 2_000;
/** Seeds at which something did not hold once. */
const ONCE_FAILED = [124, 137, 10_246];
/** Also those bugs that take long to find. */
const ALL = process.env['POMONA_TEST_ALL'] !== undefined;
/** Fleets in which a bug has to show. */
const SEEDS_OF_MUTANT = 150;

async function simulate(root: string, args: readonly string[]): Promise<[number, string]> {
  const child = spawn(process.execPath, [join(root, PROGRAM), 'simulate', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stdout.on('data', (chunk) => (said += String(chunk)));
  child.stderr.on('data', (chunk) => (said += String(chunk)));
  const [code] = (await once(child, 'close')) as [number];
  return [code, said];
}

suite('the simulation', () => {
  test(`${SEEDS} fleets hold while everything goes wrong`, async (t) => {
    const parts = availableParallelism();
    const each = Math.ceil(SEEDS / parts);
    const runs = Array.from({ length: parts }, (_, part) =>
      simulate(ROOT, [
        ...['--seed', String(1 + part * each), '--seeds', String(each)],
        // Short ones, so that there can be many.
        ...['--for', '1m', '--jobs', '10', '--most-faults', '6'],
      ]),
    );
    for (const [code, said] of await Promise.all(runs)) {
      assert.equal(code, 0, said);
      t.diagnostic(said.trim());
    }
  });

  test('what failed once holds now, and larger fleets do', async () => {
    for (const seed of ONCE_FAILED) {
      for (const controllers of ['1', '2', '3']) {
        const [code, said] = await simulate(ROOT, [
          '--seed',
          String(seed),
          '--controllers',
          controllers,
        ]);
        assert.equal(code, 0, said);
      }
    }
    const large = ['--hosts', '12', '--jobs', '200', '--controllers', '3', '--seeds', '5'];
    const [code, said] = await simulate(ROOT, large);
    assert.equal(code, 0, said);
  });

  test('where nothing goes wrong no job is lost', async () => {
    const [code, said] = await simulate(ROOT, ['--faults', 'none', '--seeds', '50']);
    assert.equal(code, 0, said);
    assert.doesNotMatch(said, /lost/);
  });

  test('a seed goes the same way each time, byte for byte', async () => {
    const args = ['--seed', '17', '--controllers', '3', '--json'];
    const [first, again] = [await simulate(ROOT, args), await simulate(ROOT, args)];
    assert.deepEqual(first, again);
    const other = await simulate(ROOT, ['--seed', '18', '--controllers', '3', '--json']);
    assert.notDeepEqual(other, first);
  });

  test('wrong input is told, and nothing is played', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'pomona-scenario-'));
    const file = join(dir, 'scenario.json');
    await writeFile(file, '{"seed":1,"hosts":0}');
    const wrong: [string[], RegExp][] = [
      [['--hosts', '0'], /--hosts expects at least 1, not 0/],
      [['--controllers', '0'], /--controllers expects at least 1/],
      [['--plan', '--slots', '0'], /--slots expects at least 1/],
      [['--plan', '--ready', '101'], /--ready expects 0 to 100/],
      [['--plan', '--host-cost', 'much'], /--host-cost expects an amount/],
      [['--scenario', file], /is no scenario as --keep-scenario writes it: hosts: /],
    ];
    for (const [args, message] of wrong) {
      const [code, said] = await simulate(ROOT, args);
      assert.notEqual(code, 0, args.join(' '));
      assert.match(said, message);
    }
    await rm(dir, { recursive: true });
  });

  test('a scenario that fails is made smaller, and fails again', async () => {
    const [quota] = MUTANTS.filter(({ name }) => name === 'quotas are not looked at');
    assert.ok(quota !== undefined && (await isKilled(quota, [])));
  });

  test('bugs in what decides are found', async (t) => {
    const mutants = MUTANTS.filter(({ args }) => ALL || args === undefined);
    const rest = MUTANTS.length - mutants.length;
    if (rest > 0) t.diagnostic(`${rest} that take long are left out; POMONA_TEST_ALL=1 has them`);
    const survivors: string[] = [];
    const queue = [...mutants];
    await Promise.all(
      Array.from({ length: availableParallelism() }, async () => {
        for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
          if (!(await isKilled(mutant, ['--no-shrink']))) survivors.push(mutant.name);
        }
      }),
    );
    t.diagnostic(`${mutants.length - survivors.length} of ${mutants.length} bugs were found`);
    assert.deepEqual(survivors, []);
  });
});

/** Whether the simulator finds this bug, and finds it again in the scenario that it keeps. */
async function isKilled(mutant: Mutant, options: readonly string[]): Promise<boolean> {
  const { name, also, faults = 'all', args = [], ...edit } = mutant;
  const root = await mkdtemp(join(tmpdir(), 'pomona-mutant-'));
  try {
    await cp(join(ROOT, 'src'), join(root, 'src'), { recursive: true });
    await cp(join(ROOT, 'package.json'), join(root, 'package.json'));
    await symlink(join(ROOT, 'node_modules'), join(root, 'node_modules'));
    for (const { file, from, to } of [edit, ...(also === undefined ? [] : [also])]) {
      const path = join(root, 'src', file);
      const source = await readFile(path, 'utf8');
      assert.equal(source.split(from).length, 2, `${name}: ${file} has it once`);
      await writeFile(path, source.replace(from, to));
    }
    const kept = join(root, 'scenario.json');
    const seeds = ['--seeds', String(SEEDS_OF_MUTANT), '--jobs', '25', '--faults', faults];
    const [code, said] = await simulate(root, [
      ...seeds,
      ...args,
      ...options,
      '--keep-scenario',
      kept,
    ]);
    if (code === 0) return false;
    assert.equal(code, 1, `${name}: ${said}`);
    const [again, why] = await simulate(root, ['--scenario', kept]);
    assert.equal(again, 1, `${name}: its scenario shows it again: ${why}`);
    assert.match(why, /does not hold \(seed \d+, \d+ ms\)/);
    return true;
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}
