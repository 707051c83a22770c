import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GOALS, LOCAL_STATES, decideWorker } from './decide.ts';

test('every pair of state and goal has an action', () => {
  for (const state of LOCAL_STATES) {
    for (const goal of GOALS) assert.equal(typeof decideWorker(state, goal), 'string');
  }
});

test('whatever state it is in, an unwanted worker ends', () => {
  for (const state of LOCAL_STATES) {
    assert.equal(decideWorker(state, 'destroyed'), state === 'absent' ? 'forget' : 'destroy');
  }
});

test('nothing is destroyed before the controller has spoken', () => {
  for (const state of LOCAL_STATES) assert.notEqual(decideWorker(state, 'unknown'), 'destroy');
});

test('a job is handed only to a worker that is ready for it', () => {
  for (const state of LOCAL_STATES) {
    assert.equal(decideWorker(state, 'run') === 'hand-over', state === 'ready');
  }
});
