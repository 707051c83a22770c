import type { FleetOutcome } from './fleet-run.ts';

const WIDTH = 800;
const HEIGHT = 260;
const MARGIN = { left: 60, right: 20, top: 30, bottom: 40 } as const;
const COLOURS = {
  waiting: '#c0392b',
  running: '#2471a3',
  p50: '#7fb3d5',
  p95: '#2471a3',
  p99: '#1b2631',
};

interface Line {
  readonly name: string;
  readonly colour: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

/** How many jobs waited and ran, over the time. */
export function drawCourse({ course, plan }: FleetOutcome): string {
  const line = (name: 'waiting' | 'running'): Line => ({
    ...{ name, colour: COLOURS[name] },
    points: course.map((point) => [point.at / 3_600_000, point[name]]),
  });
  const title = `Jobs on ${plan.hosts} hosts`;
  return chart(title, 'hours', 'jobs', [line('running'), line('waiting')]);
}

/** How long jobs wait, by how many hosts there are. */
export function drawWaits(outcomes: readonly FleetOutcome[]): string {
  const lines = (['p50', 'p95', 'p99'] as const).map((name): Line => ({
    ...{ name, colour: COLOURS[name] },
    points: outcomes.map(({ plan, wait }) => [plan.hosts, wait[name] / 60_000]),
  }));
  return chart('How long jobs wait', 'hosts', 'minutes', lines);
}

function chart(title: string, across: string, up: string, lines: readonly Line[]): string {
  const all = lines.flatMap(({ points }) => points);
  const mostX = nice(Math.max(1e-9, ...all.map(([x]) => x)));
  const mostY = nice(Math.max(1e-9, ...all.map(([, y]) => y)));
  const x = (value: number) => MARGIN.left + (value / mostX) * (WIDTH - MARGIN.left - MARGIN.right);
  const y = (value: number) =>
    HEIGHT - MARGIN.bottom - (value / mostY) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<title>${title}</title><rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>`,
    `<text x="${WIDTH / 2}" y="18" text-anchor="middle" font-size="14">${title}</text>`,
  ];
  for (let tick = 0; tick <= 4; tick += 1) {
    const [atX, atY] = [(mostX * tick) / 4, (mostY * tick) / 4];
    parts.push(
      `<line x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${r(y(atY))}" y2="${r(y(atY))}" stroke="#ddd"/>`,
      `<text x="${MARGIN.left - 6}" y="${r(y(atY) + 4)}" text-anchor="end">${label(atY)}</text>`,
      `<text x="${r(x(atX))}" y="${HEIGHT - MARGIN.bottom + 16}" text-anchor="middle">${label(atX)}</text>`,
    );
  }
  parts.push(
    `<text x="${WIDTH / 2}" y="${HEIGHT - 6}" text-anchor="middle">${across}</text>`,
    `<text x="14" y="${HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 14 ${HEIGHT / 2})">${up}</text>`,
  );
  for (const [index, { name, colour, points }] of lines.entries()) {
    const path = points.map(([px, py]) => `${r(x(px))},${r(y(py))}`).join(' ');
    const at = MARGIN.left + 10 + index * 90;
    parts.push(
      `<polyline fill="none" stroke="${colour}" stroke-width="1.5" points="${path}"/>`,
      `<rect x="${at}" y="${MARGIN.top - 6}" width="10" height="10" fill="${colour}"/>`,
      `<text x="${at + 14}" y="${MARGIN.top + 3}">${name}</text>`,
    );
  }
  return `${parts.join('\n')}\n</svg>\n`;
}

function r(value: number): number {
  return Math.round(value * 10) / 10;
}

function label(value: number): string {
  return value >= 100 ? String(Math.round(value)) : String(Math.round(value * 100) / 100);
}

/** The next round number. */
function nice(value: number): number {
  const unit = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 4, 5, 8, 10].find((factor) => factor * unit >= value) ?? 10;
  return step * unit;
}

/** A page with the pictures and the numbers; it needs nothing from elsewhere. */
export function drawPage(
  outcomes: readonly FleetOutcome[],
  rows: readonly (readonly string[])[],
  summary: string,
): string {
  const [heading = [], ...body] = rows;
  const cells = (row: readonly string[], tag: string) =>
    row.map((cell) => `<${tag}>${escape(cell)}</${tag}>`).join('');
  const last = outcomes.at(-1);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>How many Macs</title>
<style>body{font-family:sans-serif;max-width:860px;margin:2em auto}td,th{padding:.2em .8em;text-align:right}svg{width:100%}</style>
</head><body>
<h1>How many Macs</h1>
<p>${escape(summary)}</p>
${outcomes.length > 1 ? drawWaits(outcomes) : ''}
${last === undefined ? '' : drawCourse(last)}
<table><thead><tr>${cells(heading, 'th')}</tr></thead>
<tbody>${body.map((row) => `<tr>${cells(row, 'td')}</tr>`).join('\n')}</tbody></table>
</body></html>
`;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
