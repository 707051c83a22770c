import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isOpen, whyNoWindow, type Window } from './window.ts';

const HOUR = 3_600_000;

function at(time: string): number {
  return new Date(time).getTime();
}

test('a window is open from its moment on, for its time', () => {
  const work: Window = { cron: '0 8 * * 1-5', forMs: 10 * HOUR };
  const when = {
    '2026-11-20T07:59:59Z': false,
    '2026-11-20T08:00:00Z': true,
    '2026-11-20T17:59:59Z': true,
    '2026-11-20T18:00:00Z': false,
    '2026-11-21T12:00:00Z': false,
    '2026-11-23T08:00:01Z': true,
  };
  for (const [time, open] of Object.entries(when)) assert.equal(isOpen(work, at(time)), open, time);
  assert.equal(isOpen(work, at('2026-11-20T09:00:00Z')), true, 'also when the clock goes back');
});

test('a window is of its time zone, also when its clocks change', () => {
  const work: Window = { cron: '0 8 * * *', forMs: HOUR, timeZone: 'Europe/Zurich' };
  assert.equal(isOpen(work, at('2026-10-24T06:30:00Z')), true);
  assert.equal(isOpen(work, at('2026-10-25T06:30:00Z')), false);
  assert.equal(isOpen(work, at('2026-10-25T07:30:00Z')), true);
});

test('a window that ends the next day is open over midnight', () => {
  const night: Window = { cron: '0 22 * * *', forMs: 8 * HOUR };
  assert.equal(isOpen(night, at('2026-11-20T23:00:00Z')), true);
  assert.equal(isOpen(night, at('2026-11-21T05:59:00Z')), true);
  assert.equal(isOpen(night, at('2026-11-21T06:00:00Z')), false);
});

test('what is no pattern or no time zone is told', () => {
  assert.equal(whyNoWindow({ cron: '*/5 * * * *', forMs: 1 }), undefined);
  assert.match(whyNoWindow({ cron: 'every day', forMs: 1 }) ?? '', /expected five fields/);
  assert.match(whyNoWindow({ cron: '* * * * *', forMs: 1, timeZone: 'Mars/Base' }) ?? '', /zone/i);
});
