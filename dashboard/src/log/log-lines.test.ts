import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { findLines, LogLines, plainText, visibleLines } from './log-lines.ts';

function read(...pieces: readonly string[]): LogLines {
  const log = new LogLines();
  for (const [at, piece] of pieces.entries()) log.push(Buffer.from(piece), at);
  log.end();
  return log;
}

const texts = (log: LogLines) => log.lines.map(plainText);

test('lines are the same wherever the log is cut', () => {
  const line = fc.string({ unit: fc.constantFrom('a', 'ü', '🍎', ' ', '\x1b[31m', '\x1b[0m') });
  fc.assert(
    fc.property(fc.array(line), fc.array(fc.nat(), { maxLength: 10 }), (lines, cuts) => {
      const bytes = Buffer.from(lines.map((each) => `${each}\n`).join(''));
      const log = new LogLines();
      let from = 0;
      for (const to of [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].toSorted(
        (a, b) => a - b,
      )) {
        log.push(bytes.subarray(from, to), 0);
        from = to;
      }
      assert.deepEqual(
        log.lines.map(({ text }) => text),
        lines,
      );
    }),
  );
});

test('what has no end yet is shown, and is one line with the rest of it', () => {
  const log = new LogLines();
  log.push(Buffer.from('Continue? '), 1);
  assert.deepEqual(texts(log), ['Continue? ']);
  log.push(Buffer.from('yes\nnext'), 2);
  assert.deepEqual(texts(log), ['Continue? yes', 'next']);
  assert.deepEqual(
    log.lines.map(({ time }) => time),
    [1, 2],
  );
});

test('what was written over is gone, as on a terminal', () => {
  assert.deepEqual(texts(read('10 %\r50 %\r100 %\r\ndone\r\n')), ['100 %', 'done']);
});

test('colours that a line leaves on go on in the next, until they are ended', () => {
  const log = read('\x1b[31mred\nstill\x1b[0m\nplain\n');
  assert.deepEqual(
    log.lines.map(({ style }) => style),
    ['', '\x1b[31m', ''],
  );
});

test('orders to terminals other than colours are not shown', () => {
  assert.deepEqual(texts(read('\x1b[2K\x1b]0;title\x07a\x1b[1Gb\n')), ['ab']);
});

test('groups fold away what is in them, also one in the other', () => {
  const log = read('::group::outer\n1\n::group::inner\n2\n::endgroup::\n3\n::endgroup::\n4\n');
  assert.deepEqual(texts(log), ['outer', '1', 'inner', '2', '3', '4']);
  const visible = (...folded: number[]) =>
    visibleLines(log.lines.length, log.groups, new Set(folded));
  assert.equal(visible(), undefined);
  assert.deepEqual(visible(2), [0, 1, 2, 4, 5]);
  assert.deepEqual(visible(0), [0, 5]);
  assert.deepEqual(visible(0, 2), [0, 5]);
});

test('marks are told with the line before which they stand, and are no lines', () => {
  const marks: [string, number][] = [];
  const log = new LogLines((mark, line) => marks.push([mark, line]));
  log.push(Buffer.from('a\n\x1b_pomona;{"n":1}\x1b\\b\n\x1b_pomona;{"n":2}\x1b\\\nc\n'), 0);
  assert.deepEqual(marks, [
    ['{"n":1}', 1],
    ['{"n":2}', 2],
  ]);
  assert.deepEqual(texts(log), ['a', 'b', 'c']);
});

test('a search looks past colours and case, among the lines that it is told of', () => {
  const log = read('No Er\x1b[31mror\x1b[0m\nerror\nERROR\n');
  assert.deepEqual(findLines(log.lines, 3, 'error'), [0, 1, 2]);
  assert.deepEqual(findLines(log.lines, 2, 'error'), [0, 1]);
  assert.deepEqual(findLines(log.lines, 3, ''), []);
});
