import assert from 'node:assert/strict';
import { test } from 'node:test';
import { prefixOf, Steps } from './steps-of.ts';

const PLACE = { build: [], index: 1, of: 2 };

test('marks make steps, with where their output is in the log', () => {
  const steps = new Steps();
  steps.take({ type: 'step', ...PLACE, heading: 'run make' }, 3);
  assert.equal(steps.list[0]?.how, undefined, 'it runs');
  steps.take({ type: 'done', ...PLACE, id: 'abc', how: 'made', ms: 40 }, 9);
  steps.take({ type: 'size', id: 'abc', bytes: 1024 }, 12);
  assert.deepEqual(steps.list, [
    { ...PLACE, heading: 'run make', from: 3, to: 9, id: 'abc', how: 'made', ms: 40, bytes: 1024 },
  ]);
});

test('steps of nested builds are told apart from those of the build itself', () => {
  const steps = new Steps();
  const nested = { ...PLACE, build: ['tools'] };
  steps.take({ type: 'step', ...PLACE, heading: 'run a' }, 0);
  steps.take({ type: 'step', ...nested, heading: 'run b' }, 1);
  steps.take({ type: 'failed', ...nested }, 2);
  assert.deepEqual(
    steps.list.map(({ heading, how }) => [heading, how]),
    [
      ['run a', undefined],
      ['run b', 'failed'],
    ],
  );
  assert.equal(prefixOf(nested), '[tools] ');
});
