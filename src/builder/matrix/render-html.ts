import type { Change } from './compare.ts';
import { sumText } from './render-text.ts';
import { countStatuses, indexCells, type Cell, type Report } from './report.ts';

/**
 * The report as one page that needs nothing else: no script, no other file but the logs it links
 * to. Readable without colours, and all that comes from the run is escaped.
 */
export function renderHtml(report: Report, changes: readonly Change[] | undefined): string {
  const cellAt = indexCells(report);
  const head = report.columns.map((column) => `<th scope="col">${escape(column)}</th>`).join('');
  const sums = report.columns
    .map((column) => `<td>${escape(sumText(countStatuses(report, column)))}</td>`)
    .join('');
  const rows = report.rows.map((row) => {
    const cells = report.columns.map((column) => cellHtml(cellAt(row, column))).join('');
    return `<tr><th scope="row">${escape(row)}</th>${cells}</tr>`;
  });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escape(report.name)}: ${escape(sumText(countStatuses(report)))}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escape(report.name)}</h1>
<p>${escape(report.startedAt)} to ${escape(report.finishedAt)}:
${escape(sumText(countStatuses(report)))}</p>
${changes === undefined ? '' : changesHtml(changes)}
<table>
<thead><tr><td></td>${head}</tr></thead>
<tbody>
${rows.join('\n')}
</tbody>
<tfoot><tr><th scope="row">sum</th>${sums}</tr></tfoot>
</table>
</body>
</html>
`;
}

function cellHtml(cell: Cell | undefined): string {
  if (cell === undefined) return '<td>-</td>';
  const title = `${(cell.durationMs / 1000).toFixed(1)} s, ${cell.cachedSteps} of ${cell.steps} steps cached`;
  const text = escape(cell.status);
  const link =
    cell.log === undefined ? text : `<a href="${escape(encodeURI(cell.log))}">${text}</a>`;
  const reason = cell.reason === undefined ? '' : `<br><small>${escape(cell.reason)}</small>`;
  return `<td class="${cell.status}" title="${escape(title)}">${link}${reason}</td>`;
}

function changesHtml(changes: readonly Change[]): string {
  if (changes.length === 0) return '<p>Nothing changed since the earlier run.</p>';
  const items = changes.map(
    ({ kind, row, column, before, after }) =>
      `<li><b>${kind}</b> ${escape(row)} on ${escape(column)}: ` +
      `${before ?? 'not there'} → ${after ?? 'not there'}</li>`,
  );
  return `<h2>Since the earlier run</h2>\n<ul>\n${items.join('\n')}\n</ul>`;
}

function escape(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${String(character.codePointAt(0))};`);
}

const STYLE = `
:root { color-scheme: light dark; font: 14px/1.4 system-ui, sans-serif; }
table { border-collapse: collapse; }
th, td { border: 1px solid #8884; padding: .2em .6em; text-align: left; vertical-align: top; }
thead th { position: sticky; top: 0; background: Canvas; }
td a { color: inherit; }
.good { background: #2a72; }
.partial { background: #c903; }
.bad { background: #d336; font-weight: bold; }
.not-available, .skipped { color: GrayText; }
.internal-failure { background: #93c3; }
`;
