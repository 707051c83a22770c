import assert from 'node:assert/strict';
import { test } from 'node:test';
import { extentOf, phasesOf } from './phases.ts';

const worker = (state: string, at: number) => ({ of: 'worker' as const, id: 'w', state, at });
const told = (phases: ReturnType<typeof phasesOf>) =>
  phases.map(({ of, name, from, to }) => [of, name, from, to]);

test('a job that waited for its worker shows what the worker was at meanwhile', () => {
  const events = [
    worker('requested', 5),
    worker('cloning', 10),
    worker('booting', 20),
    worker('ready', 50),
    worker('running', 55),
  ];
  const job = { state: 'running', submittedAt: 0, assignedAt: 51, startedAt: 55 } as const;
  assert.deepEqual(told(phasesOf(job, { events })), [
    ['job', 'queued', 0, 51],
    ['worker', 'placed', 5, 10],
    ['worker', 'cloning', 10, 20],
    ['worker', 'booting', 20, 50],
    ['worker', 'ready', 50, 55],
    ['job', 'starting', 51, 55],
    ['job', 'running', 55, undefined],
    ['worker', 'running', 55, undefined],
  ]);
});

test('a job that ends before it starts has waited until then', () => {
  const job = { state: 'finished', submittedAt: 0, finishedAt: 9 } as const;
  const phases = phasesOf(job, { events: [] });
  assert.deepEqual(told(phases), [['job', 'queued', 0, 9]]);
  assert.deepEqual(extentOf(phases, 100), { from: 0, to: 9 });
});

test('what goes on reaches until now', () => {
  const phases = phasesOf({ state: 'queued', submittedAt: 40 }, { events: [] });
  assert.deepEqual(extentOf(phases, 100), { from: 40, to: 100 });
});
