import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fleet } from './fleet.ts';
import type { QueuedJob, TeamRules } from './fleet-view.ts';
import { Turns } from './turns.ts';

function order(
  jobs: readonly string[],
  options: {
    running?: Record<string, number>;
    teams?: Record<string, TeamRules>;
    of?: (job: QueuedJob) => Partial<QueuedJob>;
  } = {},
): string[] {
  const fleet = new Fleet({
    teams: new Map(Object.entries(options.teams ?? {})),
    reservations: [],
  });
  for (const [team, count] of Object.entries(options.running ?? {})) {
    for (let n = 0; n < count; n += 1) {
      fleet.setRunning({ id: `${team}-running-${n}`, team, pool: 'macs' });
    }
  }
  for (const id of jobs) {
    const job = { id, pool: undefined, labels: [], team: id[0] ?? '' };
    fleet.setQueued({ ...job, ...options.of?.(job) });
  }
  const ordered: string[] = [];
  new Turns(fleet).each(({ id }) => ordered.push(id) > 0);
  return ordered;
}

test('teams take turns, whoever asked first', () => {
  assert.deepEqual(order(['a1', 'a2', 'a3', 'b4', 'b5']), ['a1', 'b4', 'a2', 'b5', 'a3']);
});

test('who has much running waits for the others', () => {
  const running = { a: 2 };
  assert.deepEqual(order(['a1', 'a2', 'b3', 'b4', 'b5'], { running }), [
    ...['b3', 'b4', 'a1', 'b5', 'a2'],
  ]);
});

test('a team of twice the weight has twice the turns', () => {
  const teams = { a: { weight: 2 } };
  const jobs = ['a1', 'a2', 'a3', 'a4', 'b5', 'b6', 'b7'];
  assert.deepEqual(order(jobs, { teams }), ['a1', 'b5', 'a2', 'a3', 'b6', 'a4', 'b7']);
});

test('a team at its quota waits, but for urgent jobs', () => {
  const teams = { a: { weight: 1, quota: 2 } };
  assert.deepEqual(order(['a1', 'a2', 'a3', 'b4'], { teams, running: { a: 1 } }), ['b4', 'a1']);
  const urgent = order(['a1', 'a2', 'a3', 'b4'], {
    ...{ teams, running: { a: 2 } },
    of: ({ id }) => ({ urgent: id === 'a3' }),
  });
  assert.deepEqual(urgent, ['a3', 'b4']);
});

test('a higher priority goes first, whatever its team has, and urgent jobs before all', () => {
  const of = ({ id }: QueuedJob) => ({ priority: Number(id[1]), urgent: id === 'a0' });
  assert.deepEqual(order(['b1', 'a2', 'a3', 'a0'], { of, running: { a: 9 } }), [
    ...['a0', 'a3', 'a2', 'b1'],
  ]);
});

test('a job that nothing can be had for holds up those like it, and no other', () => {
  const fleet = new Fleet({ teams: new Map(), reservations: [] });
  for (const [id, label] of [
    ['j1', 'big'],
    ['j2', 'big'],
    ['j3', 'small'],
  ] as const) {
    fleet.setQueued({ id, pool: undefined, labels: [label] });
  }
  const asked: string[] = [];
  const served: string[] = [];
  new Turns(fleet).each((job) => {
    asked.push(job.id);
    if (job.labels[0] === 'big') return false;
    served.push(job.id);
    return true;
  });
  assert.deepEqual([asked, served], [['j1', 'j3'], ['j3']]);
});

test('every job is there once, in the order of its team, and no team is left behind', () => {
  const jobs = Array.from({ length: 300 }, (_, n) => `${'abc'[(n * 7) % 3]}${1000 + n}`);
  const ordered = order(jobs);
  assert.deepEqual(ordered.toSorted(), jobs.toSorted());
  for (const team of 'abc') {
    const mine = ordered.filter((id) => id.startsWith(team));
    assert.deepEqual(mine, mine.toSorted());
  }
  const first = ordered.slice(0, 30);
  for (const team of 'abc') assert.equal(first.filter((id) => id.startsWith(team)).length, 10);
});

test('a job that comes back stands where its age puts it', () => {
  const fleet = new Fleet({ teams: new Map(), reservations: [] });
  for (const id of ['j1', 'j2', 'j3']) fleet.setQueued({ id, pool: undefined, labels: [] });
  fleet.setRunning({ id: 'j1', team: '', pool: 'macs' });
  fleet.removeJob('j2');
  fleet.setQueued({ id: 'j1', pool: undefined, labels: [] });
  const ids: string[] = [];
  new Turns(fleet).each(({ id }) => ids.push(id) > 0);
  assert.deepEqual(ids, ['j1', 'j3']);
  assert.equal(fleet.runningByTeam.size, 0);
});
