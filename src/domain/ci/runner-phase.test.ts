import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ABSENT_MS, breakerLimit, judgeMissing, phaseOf } from './runner-phase.ts';

const FACTS = {
  ...{ jobState: 'assigned' as const, preparedAt: 1, seenAt: 2, tookAt: undefined, leaving: false },
} as const;

test('a runner is in one phase, whatever is known of it', () => {
  assert.equal(phaseOf({ ...FACTS, preparedAt: undefined, seenAt: undefined }), 'waiting');
  assert.equal(phaseOf({ ...FACTS, seenAt: undefined }), 'starting');
  assert.equal(phaseOf(FACTS), 'idle');
  assert.equal(phaseOf({ ...FACTS, tookAt: 3 }), 'busy');
  assert.equal(phaseOf({ ...FACTS, leaving: true }), 'leaving');
  assert.equal(phaseOf({ ...FACTS, tookAt: 3, leaving: true }), 'leaving');
  assert.equal(phaseOf({ ...FACTS, jobState: 'finished' }), 'ended');
});

test('a runner that a listing left out is asked for alone, and given up when it is gone for a while', () => {
  const idle = { phase: 'idle', absentSince: undefined } as const;
  assert.equal(judgeMissing(idle, 0, undefined), 'ask');
  assert.equal(judgeMissing(idle, 0, 'idle'), 'keep');
  assert.equal(judgeMissing(idle, 0, 'absent'), 'keep');
  const absent = { phase: 'busy', absentSince: 0 } as const;
  assert.equal(judgeMissing(absent, ABSENT_MS - 1, 'absent'), 'keep');
  assert.equal(judgeMissing(absent, ABSENT_MS, 'offline'), 'keep');
  assert.equal(judgeMissing(absent, ABSENT_MS, 'absent'), 'destroy');
  assert.equal(judgeMissing({ ...absent, phase: 'starting' }, ABSENT_MS, 'absent'), 'keep');
});

test('few runners may go at once, and a quarter of many', () => {
  assert.deepEqual([0, 4, 40].map(breakerLimit), [3, 3, 10]);
});
