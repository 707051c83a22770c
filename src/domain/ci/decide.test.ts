import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decideClass, retryAt, type ClassView, type RunnerView } from './decide.ts';

const RULES = { idleMs: 60_000, registerMs: 300_000, standbyMs: 3_600_000 };
const NONE = { inARow: 0, lastAt: undefined };

function view(more: Partial<ClassView>): ClassView {
  return {
    ...{ now: 1_000_000, queued: 0, standby: 0, room: 100, runners: [], failures: NONE },
    ...{ rules: RULES, lookedAt: 1_000_000 },
    ...more,
  };
}

function runner(phase: RunnerView['phase'], ageMs = 0, jobId = `j-${phase}`): RunnerView {
  return { jobId, phase, since: 1_000_000 - ageMs };
}

test('each job that waits gets a runner, and standby ones come on top', () => {
  assert.deepEqual(decideClass(view({ queued: 3, standby: 2 })), [{ type: 'add', count: 5 }]);
});

test('what is on its way or idle counts, what is busy or leaving does not', () => {
  const runners = [runner('waiting'), runner('starting'), runner('idle')];
  assert.deepEqual(decideClass(view({ queued: 3, runners })), []);
  const taken = [runner('busy'), runner('leaving')];
  assert.deepEqual(decideClass(view({ queued: 1, runners: taken })), [{ type: 'add', count: 1 }]);
});

test('one that does not register in time is no capacity: it leaves and another is made', () => {
  assert.deepEqual(decideClass(view({ queued: 1, runners: [runner('starting', 300_000)] })), [
    {
      type: 'leave',
      jobId: 'j-starting',
      reason: 'it did not register within 300 s',
      failed: true,
    },
    { type: 'add', count: 1 },
  ]);
});

test('one is not late while nobody looked since its time was over', () => {
  const runners = [runner('starting', 300_000)];
  assert.deepEqual(decideClass(view({ queued: 1, runners, lookedAt: 999_999 })), []);
});

test('a limit is kept, and what it leaves out is made once there is room', () => {
  assert.deepEqual(decideClass(view({ queued: 5, room: 2 })), [{ type: 'add', count: 2 }]);
  assert.deepEqual(decideClass(view({ queued: 5, room: 0 })), []);
  assert.deepEqual(decideClass(view({ queued: 5, room: -1 })), []);
});

test('a runner whose job went away before it had a worker is cancelled at once', () => {
  assert.deepEqual(decideClass(view({ runners: [runner('waiting')] })), [
    { type: 'cancel', jobId: 'j-waiting', reason: 'no job waits for it any more' },
  ]);
});

test('an idle runner that nobody needs stays for its idle time', () => {
  assert.deepEqual(decideClass(view({ runners: [runner('idle', 59_999)] })), []);
  assert.deepEqual(decideClass(view({ runners: [runner('idle', 60_000)] })), [
    { type: 'leave', jobId: 'j-idle', reason: 'no job came for it', failed: false },
  ]);
});

test('a standby runner that waited long is replaced, one at a time', () => {
  const runners = [runner('idle', 3_600_000, 'j-1'), runner('idle', 3_700_000, 'j-2')];
  const actions = decideClass(view({ standby: 2, runners }));
  assert.deepEqual(
    actions.map((action) => action.type),
    ['leave', 'add'],
  );
});

test('a class whose runners end without a job waits longer and longer for the next', () => {
  assert.equal(retryAt({ inARow: 1, lastAt: 500 }), 0);
  assert.equal(retryAt({ inARow: 2, lastAt: 500 }), 10_500);
  assert.equal(retryAt({ inARow: 4, lastAt: 500 }), 40_500);
  assert.equal(retryAt({ inARow: 99, lastAt: 500 }), 3_600_500);
  const failures = { inARow: 3, lastAt: 1_000_000 };
  assert.deepEqual(decideClass(view({ queued: 1, failures })), []);
});

const runners = fc.array(
  fc.record({
    jobId: fc.uuid(),
    phase: fc.constantFrom('waiting', 'starting', 'idle', 'busy', 'leaving', 'ended'),
    since: fc.integer({ min: 0, max: 1_000_000 }),
  }),
  { maxLength: 20 },
);

test('deciding twice on what was done makes nothing more, whatever there was', () => {
  fc.assert(
    fc.property(runners, fc.nat(20), fc.nat(5), fc.nat(30), (all, queued, standby, room) => {
      const before = view({ queued, standby, room, runners: all });
      const actions = decideClass(before);
      const added = actions.flatMap((action) =>
        action.type === 'add'
          ? Array.from({ length: action.count }, (_, n) => runner('waiting', 0, `new-${n}`))
          : [],
      );
      assert.ok(added.length <= room);
      const left = new Map(
        actions.flatMap((action) => (action.type === 'add' ? [] : [[action.jobId, action.type]])),
      );
      const after = all
        .filter(({ jobId }) => left.get(jobId) !== 'cancel')
        .map((each) => (left.has(each.jobId) ? { ...each, phase: 'leaving' as const } : each));
      const again = decideClass(
        view({ queued, standby, room: room - added.length, runners: [...after, ...added] }),
      );
      // Old standby runners go one at a time; apart from them nothing is left to do.
      assert.ok(again.every((action) => action.type !== 'cancel'));
      const renewed = again.filter((action) => action.type === 'leave').length;
      assert.ok(renewed <= 1);
      for (const action of again) if (action.type === 'add') assert.ok(action.count <= renewed);
    }),
  );
});

test('a busy runner is never touched', () => {
  fc.assert(
    fc.property(runners, fc.nat(20), (all, queued) => {
      const busy = new Set(all.filter(({ phase }) => phase === 'busy').map(({ jobId }) => jobId));
      for (const action of decideClass(view({ queued, runners: all }))) {
        assert.ok(action.type === 'add' || !busy.has(action.jobId));
      }
    }),
  );
});
