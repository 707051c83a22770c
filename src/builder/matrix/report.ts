import { z } from 'zod';

/**
 * | status           | meaning                                                             |
 * |------------------|---------------------------------------------------------------------|
 * | good             | every step succeeded                                                |
 * | partial          | something that it needs failed, not it itself                       |
 * | bad              | a step failed                                                       |
 * | not-available    | it does not exist for this column                                   |
 * | internal-failure | the build could not be carried out: it says nothing of the row      |
 * | skipped          | left out by the matrix file                                         |
 */
export const CELL_STATUSES = [
  'good',
  'partial',
  'bad',
  'not-available',
  'internal-failure',
  'skipped',
] as const;
export type CellStatus = (typeof CELL_STATUSES)[number];

const cellSchema = z.strictObject({
  row: z.string(),
  column: z.string(),
  status: z.enum(CELL_STATUSES),
  /** Id of the result of a good cell. */
  result: z.string().exactOptional(),
  /** Why it is not good, for people. */
  reason: z.string().exactOptional(),
  durationMs: z.number(),
  /** Of all its steps, how many were cached. */
  steps: z.int(),
  cachedSteps: z.int(),
  /** Its log, relative to the report. */
  log: z.string().exactOptional(),
});

/** What a run of a matrix found; written as JSON, and read again to compare. */
export const reportSchema = z.strictObject({
  format: z.literal('pomona-matrix-1'),
  name: z.string(),
  startedAt: z.iso.datetime(),
  finishedAt: z.iso.datetime(),
  rows: z.array(z.string()),
  columns: z.array(z.string()),
  cells: z.array(cellSchema),
});

export type Cell = z.output<typeof cellSchema>;
export type Report = z.output<typeof reportSchema>;

/** How many cells of a column, or of all, have each status. */
export function countStatuses(
  report: Report,
  column?: string,
): Readonly<Record<CellStatus, number>> {
  const counts: Record<CellStatus, number> = {
    ...{ good: 0, partial: 0, bad: 0 },
    ...{ 'not-available': 0, 'internal-failure': 0, skipped: 0 },
  };
  for (const cell of report.cells) {
    if (column === undefined || cell.column === column) counts[cell.status] += 1;
  }
  return counts;
}

/** Cells by row and column. */
export function indexCells(report: Report): (row: string, column: string) => Cell | undefined {
  const cells = new Map(report.cells.map((cell) => [keyOf(cell.row, cell.column), cell]));
  return (row, column) => cells.get(keyOf(row, column));
}

function keyOf(row: string, column: string): string {
  return JSON.stringify([row, column]);
}
