import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decideHostRollout, ringSize, type HostRollout, type RolloutHost } from './host-rollout.ts';

const NOTHING = { new: { failed: 0, trials: 0 }, old: { failed: 0, trials: 0 } };
const MINUTE = 60_000;

function rollout(more: Partial<HostRollout> = {}): HostRollout {
  return {
    ...{ what: 'agent', state: 'running', rings: [1, 50, 100], ring: 0, ringDoneAt: undefined },
    ...{ atOnce: 2, soakMs: 10 * MINUTE },
    ...more,
  };
}

function hosts(...states: RolloutHost['state'][]): RolloutHost[] {
  return states.map((state, n) => ({ id: `h${n}`, state, able: true, has: false }));
}

const waiting = (n: number) => Array.from({ length: n }, () => 'waiting' as const);

test('a canary first, then so many at once as are allowed', () => {
  const first = decideHostRollout(rollout(), hosts(...waiting(10)), NOTHING, 0);
  assert.deepEqual(first, [{ type: 'ask', hostId: 'h0' }]);
  const second = decideHostRollout(
    rollout({ ring: 1 }),
    hosts('done', 'doing', ...waiting(8)),
    ...([NOTHING, 0] as const),
  );
  assert.deepEqual(second, [{ type: 'ask', hostId: 'h2' }]);
});

test('a ring is watched for a while before the next, and after the last it is done', () => {
  const done = hosts('done', ...waiting(9));
  assert.deepEqual(decideHostRollout(rollout(), done, NOTHING, 5), [{ type: 'ring-done' }]);
  const at = (now: number, ring = 0) =>
    decideHostRollout(
      rollout({ ring, ringDoneAt: 0 }),
      ring === 0 ? done : hosts('done', 'done'),
      ...([NOTHING, now] as const),
    );
  assert.deepEqual(at(10 * MINUTE - 1), []);
  assert.deepEqual(at(10 * MINUTE), [{ type: 'next' }]);
  assert.deepEqual(at(10 * MINUTE, 2), [{ type: 'done' }]);
});

test('a canary that cannot sends it back, and one of forty does not', () => {
  const [failed] = hosts('failed');
  assert.ok(failed !== undefined);
  const canary = [{ ...failed, detail: 'no such version' }, ...hosts(...waiting(5)).slice(1)];
  assert.deepEqual(decideHostRollout(rollout(), canary, NOTHING, 0), [
    { type: 'back', reason: '1 of 1 hosts could not: no such version' },
  ]);
  const many = hosts('failed', ...Array.from({ length: 39 }, () => 'done' as const));
  assert.deepEqual(decideHostRollout(rollout({ ring: 2 }), many, NOTHING, 0), [
    { type: 'ring-done' },
  ]);
});

test('jobs that fail more often on hosts that have it send it back', () => {
  const evidence = { new: { failed: 9, trials: 10 }, old: { failed: 5, trials: 100 } };
  const [step] = decideHostRollout(rollout(), hosts('done', ...waiting(5)), evidence, 0);
  assert.deepEqual(step, {
    type: 'back',
    reason: '9 of 10 jobs failed on hosts that have it, 5 of 100 without it',
  });
});

test('hosts that are away hold up nobody, and get it when they are back', () => {
  const [here, away] = hosts('done', 'waiting');
  assert.ok(here !== undefined && away !== undefined);
  const last = rollout({ ring: 2 });
  const fleet = [here, { ...away, able: false }];
  assert.deepEqual(decideHostRollout(last, fleet, NOTHING, 0), [{ type: 'ring-done' }]);
  const late = decideHostRollout(rollout({ state: 'done' }), [here, away], NOTHING, 0);
  assert.deepEqual(late, [{ type: 'ask', hostId: 'h1' }]);
});

test('a host that is away is no canary, and without any host that tries nothing goes on', () => {
  const [away, here] = hosts('waiting', 'waiting');
  assert.ok(here !== undefined && away !== undefined);
  const fleet = [{ ...away, able: false }, here];
  assert.deepEqual(decideHostRollout(rollout(), fleet, NOTHING, 0), [
    { type: 'ask', hostId: 'h1' },
  ]);
  const nobody = fleet.map((host) => ({ ...host, able: false }));
  assert.deepEqual(decideHostRollout(rollout(), nobody, NOTHING, 0), []);
});

test('what goes back is taken from all hosts that may have it', () => {
  const back = rollout({ state: 'back' });
  const fleet = hosts('done', 'failed', 'doing', 'waiting', 'returned');
  assert.deepEqual(decideHostRollout(back, fleet, NOTHING, 0), [
    { type: 'return', hostId: 'h0' },
    { type: 'return', hostId: 'h1' },
    { type: 'call-off', hostId: 'h2' },
  ]);
});

test('one that is paused does nothing', () => {
  const paused = rollout({ state: 'paused' });
  assert.deepEqual(decideHostRollout(paused, hosts(...waiting(3)), NOTHING, 0), []);
});

test('rings grow, end with all hosts, and nobody is asked beyond a ring or what is allowed at once', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 60 }),
      fc.integer({ min: 0, max: 2 }),
      fc.array(fc.constantFrom('waiting', 'doing', 'done'), { minLength: 60, maxLength: 60 }),
      (count, ring, states) => {
        const fleet = hosts(...(states.slice(0, count) as RolloutHost['state'][]));
        const plan = rollout({ ring });
        const size = ringSize(plan, count);
        assert.ok(ring === 0 || size >= ringSize(rollout({ ring: ring - 1 }), count));
        assert.ok(ring < 2 || size === count);
        const asked = decideHostRollout(plan, fleet, NOTHING, 0).flatMap((step) =>
          step.type === 'ask' ? [step.hostId] : [],
        );
        const ids = new Set(fleet.slice(0, size).map(({ id }) => id));
        assert.ok(asked.every((id) => ids.has(id)));
        const doing = fleet.filter(({ state }) => state === 'doing').length;
        assert.ok(asked.length <= Math.max(0, plan.atOnce - doing));
      },
    ),
  );
});
