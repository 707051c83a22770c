import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, loadConfig, loadPools } from './load.ts';

function problemsOf(text: string): string[] {
  try {
    loadConfig(text, 'pomona.yaml');
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.message.split('\n');
  }
  return assert.fail('it was accepted');
}

test('an empty file gives a pool that keeps workers ready and one for builds', () => {
  const config = loadConfig('', 'pomona.yaml');
  assert.deepEqual(
    config.pools.map(({ name, ready }) => [name, ready]),
    [
      ['default', 2],
      ['builds', 0],
    ],
  );
  assert.equal(config.limits.hostLostAfter, 120_000);
});

test('durations and sizes are read as people write them', () => {
  const [pool] = loadConfig(
    'pools:\n  - name: mac\n    timeout: 90s\n    maxTimeout: 1.5h\n    limits: {memory: 4GiB, log: 10 MB}\n',
    'pomona.yaml',
  ).pools;
  assert.equal(pool?.defaultTimeoutMs, 90_000);
  assert.equal(pool?.maxTimeoutMs, 5_400_000);
  assert.deepEqual(pool?.limits, { memoryBytes: 4 * 2 ** 30, logBytes: 10_000_000 });
});

test('every wrong place is told at once, with line and column', () => {
  const problems = problemsOf(
    'pools:\n  - name: mac\n    reday: 2\n    max: many\n    timeout: soon\n',
  );
  assert.equal(problems.length, 3);
  assert.ok(problems.includes('pomona.yaml:3:5: unknown key pools.0.reday; did you mean ready?'));
  assert.ok(problems.some((line) => /^pomona\.yaml:4:5: pools\.0\.max: .*number/.test(line)));
  assert.ok(problems.some((line) => /^pomona\.yaml:5:5: .*expected a duration such as/.test(line)));
});

test('text that is no YAML says where it stops being YAML', () => {
  assert.match(problemsOf('pools: [\n')[0] ?? '', /^pomona\.yaml:2:1: /);
});

test('two pools of one name are refused', () => {
  assert.match(problemsOf('pools: [{name: a}, {name: a}]')[0] ?? '', /two pools are named a/);
});

test('more ready than the maximum is refused', () => {
  assert.match(
    problemsOf('pools: [{name: a, ready: 5, max: 2}]')[0] ?? '',
    /expected at most `max`/,
  );
});

test('pools are read alone, as a list, and below `pools`', () => {
  for (const text of ['name: a', '- name: a', 'pools: [{name: a}]']) {
    assert.deepEqual(
      loadPools(text, 'pool.yaml').map((pool) => pool.name),
      ['a'],
    );
  }
});
