/** Tables, times and JSON for the commands that show things. */

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);
}

/** Prints aligned columns; on a terminal the last column is cut to its width. */
export function printTable(
  headings: readonly string[],
  rows: readonly (readonly (string | undefined)[])[],
): void {
  process.stdout.write(tableText(headings, rows, process.stdout.columns));
}

export function tableText(
  headings: readonly string[],
  rows: readonly (readonly (string | undefined)[])[],
  columns: number | undefined,
): string {
  const all = [headings, ...rows].map((row) => row.map((cell) => clean(cell ?? '-')));
  const widths = headings.map((_, column) =>
    Math.max(...all.map((row) => row[column]?.length ?? 0)),
  );
  return all
    .map((row) => {
      const line = row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd();
      return `${columns !== undefined && line.length > columns ? `${line.slice(0, columns - 1)}…` : line}\n`;
    })
    .join('');
}

/** What jobs and hosts say of themselves must not steer the terminal. */
function clean(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what is removed
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, ' ');
}

/** `12 s`, `3 min`, `2 h`, `5 d` ago. */
export function ago(time: number | undefined, now: number = Date.now()): string | undefined {
  return time === undefined ? undefined : `${span(Math.max(0, now - time))} ago`;
}

/** `850 ms`, `12.3 s`, `3 min`, `2.5 h`, `5 d`. */
export function span(ms: number | undefined): string {
  if (ms === undefined) return '-';
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 100_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 172_800_000) return `${(ms / 3_600_000).toFixed(1)} h`;
  return `${Math.round(ms / 86_400_000)} d`;
}

/** `512 B`, `1.5 MiB`. */
export function size(bytes: number | undefined): string {
  if (bytes === undefined) return '-';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = bytes < 1 ? 0 : Math.min(4, Math.floor(Math.log2(bytes) / 10));
  const amount = bytes / 2 ** (10 * power);
  return `${power === 0 ? amount : amount.toFixed(1)} ${units[power]}`;
}
