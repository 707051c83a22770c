import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Spec } from '../spec/spec.ts';
import { compareReports } from './compare.ts';
import { expandMatrix, MatrixError } from './expand.ts';
import { matrixFileSchema, type MatrixFile } from './matrix-file.ts';
import { renderHtml } from './render-html.ts';
import { renderText } from './render-text.ts';
import type { Cell, CellStatus, Report } from './report.ts';

const matrixOf = (extra: object = {}): MatrixFile =>
  matrixFileSchema.parse({
    name: 'health',
    spec: 'health.spec',
    rows: ['dune', { name: 'lwt', version: '5.7.0' }],
    columns: {
      'ocaml-5.2': { from: 'base-52', version: 'any' },
      'ocaml-4.14': { from: 'base-414', version: 'any' },
    },
    ...extra,
  });

const spec: Spec = {
  builds: [],
  from: '${{ from }}',
  ops: [
    {
      ...{ op: 'run', caches: [], network: ['host'], secrets: [] },
      shell: 'opam install ${{row}}.${{ version }} # ${HOME} on ${{column}}',
    },
  ],
};

test('every row meets every column, with the variables of both and the row’s first', () => {
  const cells = expandMatrix(matrixOf(), spec);
  assert.deepEqual(
    cells.map(({ row, column, spec: { from, ops } }) => [
      row,
      column,
      from,
      ops.map((op) => (op.op === 'run' ? op.shell : '')),
    ]),
    [
      ['dune', 'ocaml-5.2', 'base-52', ['opam install dune.any # ${HOME} on ocaml-5.2']],
      ['lwt', 'ocaml-5.2', 'base-52', ['opam install lwt.5.7.0 # ${HOME} on ocaml-5.2']],
      ['dune', 'ocaml-4.14', 'base-414', ['opam install dune.any # ${HOME} on ocaml-4.14']],
      ['lwt', 'ocaml-4.14', 'base-414', ['opam install lwt.5.7.0 # ${HOME} on ocaml-4.14']],
    ],
  );
});

test('a variable that no row or column has is told with the nearest one', () => {
  const wrong: Spec = { ...spec, from: '${{ form }}' };
  assert.throws(
    () => expandMatrix(matrixOf(), wrong),
    (error) => {
      assert.ok(error instanceof MatrixError);
      assert.match(error.message, /\$\{\{ form \}\}.*did you mean from\?/);
      return true;
    },
  );
});

test('a cell that is to be skipped says why, and a rule for no cell is refused', () => {
  const skip = [{ row: 'lwt', column: 'ocaml-4.14', reason: 'needs effects' }];
  const cells = expandMatrix(matrixOf({ skip }), spec);
  assert.deepEqual(
    cells.map((cell) => cell.skip),
    [undefined, undefined, undefined, 'needs effects'],
  );
  const unknown = [{ row: 'ltw', reason: 'x' }];
  assert.throws(() => expandMatrix(matrixOf({ skip: unknown }), spec), /did you mean lwt\?/);
});

function reportOf(statuses: Readonly<Record<string, CellStatus>>): Report {
  const cells = Object.entries(statuses).map(([row, status]): Cell => {
    const reason = status === 'bad' ? { reason: 'exit code <2>' } : {};
    return { row, column: 'c', status, durationMs: 1500, steps: 3, cachedSteps: 2, ...reason };
  });
  return {
    ...{ format: 'pomona-matrix-1', name: 'health', columns: ['c'], cells },
    rows: cells.map((cell) => cell.row),
    ...{ startedAt: '2026-01-01T00:00:00Z', finishedAt: '2026-01-01T00:01:00Z' },
  };
}

test('a comparison lists what broke first, and leaves out what could not be carried out', () => {
  const before = reportOf({ a: 'bad', b: 'good', c: 'good', d: 'partial', e: 'good' });
  const after = reportOf({ a: 'good', b: 'bad', c: 'internal-failure', d: 'bad', f: 'good' });
  assert.deepEqual(
    compareReports(before, after).map(({ kind, row }) => [kind, row]),
    [
      ['broken', 'b'],
      ['fixed', 'a'],
      ['changed', 'd'],
      ['new', 'f'],
      ['gone', 'e'],
    ],
  );
});

test('the text has a line for each row, the sums, and the changes', () => {
  const after = reportOf({ dune: 'good', lwt: 'bad' });
  const text = renderText(
    after,
    compareReports(reportOf({ dune: 'good', lwt: 'good' }), after),
    false,
  );
  assert.deepEqual(text.split('\n'), [
    '      c',
    'dune  good',
    'lwt   BAD',
    '',
    'c: 1 good, 1 bad',
    '',
    'Since the earlier run:',
    '  broken  lwt on c: good -> bad',
    '',
  ]);
});

test('the page escapes what comes from a run', () => {
  const html = renderHtml({ ...reportOf({ lwt: 'bad' }), name: '<script>alert(1)</script>' }, []);
  assert.ok(!html.includes('<script>'));
  assert.ok(html.includes('exit code &#60;2&#62;'));
  assert.match(html, /<td class="bad"/);
});
