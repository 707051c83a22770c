import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Pool } from './pool.ts';
import {
  canaryOf,
  isCanaryTurn,
  judgeRollout,
  NO_TALLY,
  poolNow,
  ROLLOUT_STATES,
  type Rollout,
  type Tally,
} from './rollout.ts';

function rollout(changes: Partial<Rollout> = {}): Rollout {
  return {
    ...{ pool: 'macs', from: 'old', to: 'new', state: 'running', stages: [10, 50], stage: 0 },
    ...{ trials: 20, old: NO_TALLY, new: NO_TALLY },
    ...changes,
  };
}
const tally = (changes: Partial<Tally>): Tally => ({ ...NO_TALLY, ...changes });
const macs = { name: 'macs', image: 'old' } as Pool;

test('each share of the new workers is kept, however many there are', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 100 }),
      fc.integer({ min: 1, max: 500 }),
      (share, count) => {
        const running = rollout({ stages: [share] });
        let [old, next] = [0, 0];
        for (let made = 0; made < count; made += 1) {
          if (isCanaryTurn(running, old, next)) next += 1;
          else old += 1;
        }
        assert.ok(Math.abs(next - (count * share) / 100) <= 1, `${next} of ${count} at ${share} %`);
      },
    ),
  );
});

test('a pool has the old image until it is done, and another image in the pool ends that', () => {
  for (const state of ROLLOUT_STATES) {
    const now = poolNow(macs, rollout({ state })).image;
    assert.equal(now, state === 'done' ? 'new' : 'old', state);
    const canary = canaryOf(macs, rollout({ state }))?.image;
    assert.equal(canary, state === 'running' || state === 'paused' ? 'new' : undefined, state);
    const other = { ...macs, image: 'third' };
    assert.equal(poolNow(other, rollout({ state })).image, 'third');
    assert.equal(canaryOf(other, rollout({ state })), undefined);
    if (state !== 'running') assert.equal(isCanaryTurn(rollout({ state }), 100, 0), false);
  }
});

test('it goes on by stages as trials end, and is done after the last', () => {
  const old = tally({ made: 100, jobs: 100, jobsFailed: 20 });
  const at = (stage: number, jobs: number) =>
    judgeRollout(rollout({ stage, old, new: tally({ made: jobs, jobs, jobsFailed: jobs / 5 }) }))
      .kind;
  assert.deepEqual([at(0, 15), at(0, 20), at(1, 35), at(1, 40)], ['wait', 'next', 'wait', 'done']);
});

test('it goes back when the new image fails more often than by accident', () => {
  for (const [old, next, kind] of [
    // Jobs that fail on both are their own fault.
    [tally({ jobs: 50, jobsFailed: 25 }), tally({ jobs: 10, jobsFailed: 6 }), 'wait'],
    [tally({ jobs: 50, jobsFailed: 2 }), tally({ jobs: 10, jobsFailed: 4 }), 'back'],
    [tally({ jobs: 50 }), tally({ jobs: 10, jobsFailed: 2 }), 'wait'],
    [tally({ jobs: 50 }), tally({ made: 3, failed: 3 }), 'back'],
    [tally({ jobs: 5 }), tally({ made: 15, failed: 3, jobs: 12 }), 'wait'],
    // With nothing to compare with, most have to fail.
    [NO_TALLY, tally({ made: 3, failed: 3 }), 'back'],
    [NO_TALLY, tally({ made: 9, failed: 3, jobs: 6 }), 'wait'],
    [tally({ made: 20, failed: 10, jobs: 10 }), tally({ made: 6, failed: 3, jobs: 3 }), 'wait'],
  ] as const) {
    assert.equal(judgeRollout(rollout({ old, new: next })).kind, kind, JSON.stringify([old, next]));
  }
});

test('a worse new image never takes over sooner than a better one', () => {
  const count = fc.integer({ min: 0, max: 60 });
  fc.assert(
    fc.property(count, count, count, count, (jobs, failed, oldJobs, oldFailed) => {
      const old = tally({ jobs: oldJobs, jobsFailed: Math.min(oldFailed, oldJobs) });
      const verdicts = [0, 1].map((more) => {
        const jobsFailed = Math.min(failed + more, jobs);
        return judgeRollout(rollout({ old, new: tally({ jobs, jobsFailed }) })).kind;
      });
      if (verdicts[0] === 'back') assert.equal(verdicts[1], 'back');
    }),
  );
});
