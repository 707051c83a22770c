import { indexCells, type CellStatus, type Report } from './report.ts';

/**
 * | kind    | meaning                                                        |
 * |---------|----------------------------------------------------------------|
 * | broken  | it was good and is not any more                                |
 * | fixed   | it was not good and is now                                     |
 * | changed | not good before and after, in different ways                   |
 * | new     | the earlier run did not have it                                |
 * | gone    | only the earlier run has it                                    |
 */
export type ChangeKind = 'broken' | 'fixed' | 'changed' | 'new' | 'gone';

export interface Change {
  readonly kind: ChangeKind;
  readonly row: string;
  readonly column: string;
  readonly before: CellStatus | undefined;
  readonly after: CellStatus | undefined;
}

/**
 * What changed between two runs, the broken first. A cell that could not be carried out in either
 * run says nothing and is left out, unless it is new or gone.
 */
export function compareReports(before: Report, after: Report): Change[] {
  const old = indexCells(before);
  const now = indexCells(after);
  const changes: Change[] = [];
  for (const { row, column, status } of after.cells) {
    const was = old(row, column)?.status;
    const kind = was === undefined ? 'new' : kindOf(was, status);
    if (kind !== undefined) changes.push({ kind, row, column, before: was, after: status });
  }
  for (const { row, column, status } of before.cells) {
    if (now(row, column) !== undefined) continue;
    changes.push({ kind: 'gone', row, column, before: status, after: undefined });
  }
  return changes.toSorted((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind));
}

const ORDER: readonly ChangeKind[] = ['broken', 'fixed', 'changed', 'new', 'gone'];

function kindOf(before: CellStatus, after: CellStatus): ChangeKind | undefined {
  if (before === after || before === 'internal-failure' || after === 'internal-failure') {
    return undefined;
  }
  if (before === 'good') return 'broken';
  return after === 'good' ? 'fixed' : 'changed';
}
