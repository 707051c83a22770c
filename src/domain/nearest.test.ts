import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearest } from './nearest.ts';

test('a typing slip finds the word that was meant', () => {
  assert.equal(nearest('reday', ['labels', 'ready', 'max']), 'ready');
  assert.equal(nearest('Lables', ['labels', 'ready', 'max']), 'labels');
  assert.equal(nearest('macos-51', ['macos-15', 'macos-14']), 'macos-15');
});

test('a word unlike all others finds nothing', () => {
  assert.equal(nearest('zebra', ['labels', 'ready', 'max']), undefined);
  assert.equal(nearest('x', []), undefined);
});
