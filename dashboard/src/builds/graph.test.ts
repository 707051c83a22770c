import assert from 'node:assert/strict';
import { test } from 'node:test';
import { graphOf } from './graph.ts';
import type { Step } from './steps-of.ts';

/** `tools/1<deps`: step 1 of the nested build `tools`, which copies from the build `deps`. */
function step(text: string): Step {
  const [place = '', copies] = text.split('<');
  const parts = place.split('/');
  const index = Number(parts.pop());
  const from = copies === undefined ? {} : { copies: copies.split('/') };
  return { build: parts, index, of: 9, heading: text, from: 0, ...from };
}

/** Each row as text: lanes from the left, `o` where its step is, `|` what passes, `\` what leads into it. */
function drawn(...steps: string[]): string[] {
  return graphOf(steps.map(step)).map(({ step: { heading }, lane, joins, passing }) => {
    const width = Math.max(lane, joins ?? 0, ...passing) + 1;
    const marks = Array.from({ length: width }, (_, at) =>
      at === lane ? 'o' : at === joins ? '\\' : passing.includes(at) ? '|' : ' ',
    );
    return `${marks.join('')} ${heading}`;
  });
}

test('the steps of a build without others are one line', () => {
  assert.deepEqual(drawn('0', '1', '2'), ['o 0', 'o 1', 'o 2']);
  const [first, second] = graphOf([step('0'), step('1')]);
  assert.deepEqual([first?.above, first?.below], [false, true]);
  assert.deepEqual([second?.above, second?.below], [true, false]);
});

test('what a step copies from stands right above it, in whatever order they began', () => {
  assert.deepEqual(drawn('tools/0', '0', 'tools/1', '1', '2<tools', '3'), [
    ...['o 0', 'o 1', '|o tools/0', '|o tools/1', 'o\\ 2<tools', 'o 3'],
  ]);
});

test('a build that several copy from is passed by until the last of them', () => {
  assert.deepEqual(drawn('0', 'deps/0', 'app/0', 'app/1<deps', '1<app', '2<deps', '3'), [
    ...['o 0', '|o app/0', '||o deps/0', '|o\\ app/1<deps', 'o\\| 1<app', 'o \\ 2<deps', 'o 3'],
  ]);
});

test('a lane is used again, and what nothing copies from yet is at the end', () => {
  assert.deepEqual(drawn('0', 'a/0', 'b/0', '1<a', 'c/0', '2<b'), [
    ...['o 0', '|o a/0', 'o\\ 1<a', '|o b/0', 'o\\ 2<b', ' o c/0'],
  ]);
});

test('builds within nested builds stand with them', () => {
  assert.deepEqual(drawn('0', 'a/0', 'a/b/0', 'a/1<a/b', '1<a'), [
    ...['o 0', '|o a/0', '||o a/b/0', '|o\\ a/1<a/b', 'o\\ 1<a'],
  ]);
});

test('a step that copies from a build that has not begun leads from nowhere', () => {
  assert.deepEqual(drawn('0', '1<tools'), ['o 0', 'o 1<tools']);
});
