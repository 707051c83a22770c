import type { Change } from './compare.ts';
import { countStatuses, indexCells, type CellStatus, type Report } from './report.ts';

/** ANSI colours of each status, and the word that stands for it in a narrow table. */
const LOOK: Readonly<Record<CellStatus, { readonly word: string; readonly colour: number }>> = {
  good: { word: 'good', colour: 32 },
  partial: { word: 'partial', colour: 33 },
  bad: { word: 'BAD', colour: 31 },
  'not-available': { word: 'n/a', colour: 90 },
  'internal-failure': { word: 'internal', colour: 35 },
  skipped: { word: 'skipped', colour: 90 },
};

/** The table of a run for a terminal, the sums of each column, and what changed. */
export function renderText(
  report: Report,
  changes: readonly Change[] | undefined,
  colour: boolean,
): string {
  const cellAt = indexCells(report);
  const first = Math.max(...report.rows.map((row) => row.length));
  const widths = report.columns.map((column) => Math.max(column.length, 8));
  const line = (head: string, cells: readonly string[]): string =>
    `${[head.padEnd(first), ...cells].join('  ').trimEnd()}\n`;
  const paint = (status: CellStatus | undefined, width: number): string => {
    if (status === undefined) return '-'.padEnd(width);
    const look = LOOK[status];
    const padding = ' '.repeat(Math.max(0, width - look.word.length));
    return colour ? `\u001b[${look.colour}m${look.word}\u001b[0m${padding}` : look.word + padding;
  };
  const table = report.rows.map((row) =>
    line(
      row,
      report.columns.map((column, index) => paint(cellAt(row, column)?.status, widths[index] ?? 0)),
    ),
  );
  const headings = report.columns.map((column, index) => column.padEnd(widths[index] ?? 0));
  const sums = report.columns.map(
    (column) => `${column}: ${sumText(countStatuses(report, column))}\n`,
  );
  return [
    line('', headings),
    ...table,
    '\n',
    ...sums,
    ...(changes === undefined ? [] : ['\n', changesText(changes)]),
  ].join('');
}

export function sumText(counts: Readonly<Record<CellStatus, number>>): string {
  return Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([status, count]) => `${count} ${status}`)
    .join(', ');
}

function changesText(changes: readonly Change[]): string {
  if (changes.length === 0) return 'Nothing changed since the earlier run.\n';
  const lines = changes.map(
    ({ kind, row, column, before, after }) =>
      `  ${kind.padEnd(8)}${row} on ${column}: ${before ?? 'not there'} -> ${after ?? 'not there'}\n`,
  );
  return `Since the earlier run:\n${lines.join('')}`;
}
