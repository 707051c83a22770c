import assert from 'node:assert/strict';
import { test } from 'node:test';
import { repairsOf } from './host-task.ts';
import { judgeHost } from './quarantine.ts';

const elsewhere = { failed: 5, trials: 100 };

test('a host where much fails that passes elsewhere is left alone, longer the second time', () => {
  const first = judgeHost({ failed: 8, trials: 10 }, elsewhere, 0, []);
  assert.equal(first?.ms, 600_000);
  assert.match(first?.reason ?? '', /8 of 10 failed there, elsewhere 5 of 100/);
  assert.equal(judgeHost({ failed: 8, trials: 10 }, elsewhere, 1, [])?.ms, 1_200_000);
});

test('the third time a person has to look', () => {
  const verdict = judgeHost({ failed: 8, trials: 10 }, elsewhere, 2, []);
  assert.ok(verdict !== undefined && verdict.ms === undefined);
  assert.match(verdict.reason, /look at it/);
});

test('few failures, failures that are everywhere, and a host alone say nothing', () => {
  assert.equal(judgeHost({ failed: 4, trials: 4 }, elsewhere, 0, []), undefined);
  assert.equal(judgeHost({ failed: 8, trials: 10 }, { failed: 70, trials: 100 }, 0, []), undefined);
  assert.equal(judgeHost({ failed: 10, trials: 10 }, { failed: 0, trials: 0 }, 0, []), undefined);
  assert.equal(judgeHost({ failed: 5, trials: 60 }, elsewhere, 0, []), undefined);
});

test('each time the next repair is tried that the host can do, then a person has to look', () => {
  const here = { failed: 8, trials: 10 };
  const repairs = repairsOf(['reboot', 'update', 'clean', 'restart']);
  const tried = [0, 1, 2, 3].map((strikes) => judgeHost(here, elsewhere, strikes, repairs));
  assert.deepEqual(
    tried.map((verdict) => verdict?.repair),
    ['restart', 'clean', 'reboot', undefined],
  );
  assert.equal(tried[2]?.ms, 2_400_000);
  assert.equal(tried[3]?.ms, undefined);
});
