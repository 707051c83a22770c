import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runFleet } from '../../simulation/plan/fleet-run.ts';
import { Random } from '../../simulation/random.ts';
import { forecastReady, SLOT_MS } from './forecast.ts';

const HOUR = 3_600_000;
const WEEK = 7 * 24 * HOUR;
const MONDAY = Date.UTC(2026, 0, 5);
const slotOf = (time: number) => Math.floor(time / SLOT_MS);

test('what came at this time in the weeks before is expected again, the last week most', () => {
  const now = MONDAY + 4 * WEEK + 9 * HOUR;
  const demand = new Map<number, number>();
  for (const [back, n] of [
    [1, 12],
    [2, 12],
    [3, 12],
    [4, 12],
  ] as const) {
    demand.set(slotOf(now - back * WEEK), n);
  }
  const steady = forecastReady(demand, slotOf(MONDAY), now);
  assert.ok(steady > 8 && steady < 16, `${steady}`);
  assert.equal(forecastReady(demand, slotOf(MONDAY), now + 3 * HOUR), 0);
  demand.set(slotOf(now - WEEK), 40);
  assert.ok(forecastReady(demand, slotOf(MONDAY), now) > steady);
});

test('without a week of history it goes by the last quarter of an hour', () => {
  const now = MONDAY + 9 * HOUR;
  const demand = new Map([1, 2, 3].map((back) => [slotOf(now) - back, 6]));
  const ready = forecastReady(demand, slotOf(MONDAY), now);
  assert.ok(ready > 6 && ready < 14, `${ready}`);
  assert.equal(forecastReady(new Map(), slotOf(MONDAY), now), 0);
});

test('many jobs need a little more than come, and numbers stay numbers', () => {
  const demand = new Map([1, 2, 3].map((back) => [slotOf(MONDAY) - back, 5_000]));
  const ready = forecastReady(demand, slotOf(MONDAY), MONDAY);
  assert.ok(ready > 5_000 && ready < 5_300, `${ready}`);
});

/** Five weeks of a team that begins at nine, each job ten minutes. */
function weeksOfWork() {
  const random = new Random(7);
  const jobs: { at: number; lengthMs: number; team: string }[] = [];
  for (let at = MONDAY; at < MONDAY + 5 * WEEK; at += SLOT_MS) {
    const [day, hour] = [new Date(at).getUTCDay(), new Date(at).getUTCHours()];
    const busy = day >= 1 && day <= 5 && hour >= 9 && hour < 17;
    const mean = busy ? 8 : 0.3;
    for (let rest = random.exponential(1 / mean); rest < 1; rest += random.exponential(1 / mean)) {
      jobs.push({ at: at + rest * SLOT_MS, lengthMs: 600_000, team: '' });
    }
  }
  return jobs;
}

test('on a history with working hours it lets fewer jobs wait than as many workers kept ready always', () => {
  const trace = weeksOfWork();
  const plan = { hosts: 60, slots: 2, makeMs: 90_000, destroyMs: 5_000 };
  const forecast = runFleet({ ...plan, ready: 0, forecast: true }, trace);
  const fixed = runFleet({ ...plan, ready: Math.round(forecast.keptReady) }, trace);
  assert.ok(forecast.wait.p95 < fixed.wait.p95 / 2, `${forecast.wait.p95} ${fixed.wait.p95}`);
  const without = runFleet({ ...plan, ready: 0 }, trace);
  assert.ok(forecast.wait.p50 < 1_000 && without.wait.p50 >= plan.makeMs);
});
