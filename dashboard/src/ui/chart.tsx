import { useEffect, useId, useRef, useState } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';

export interface Series {
  readonly name: string;
  /** One of the palette's colours, from 1 to 6. */
  readonly colour: number;
  readonly values: readonly (number | null)[];
  /** Filled down to nothing. */
  readonly area?: boolean;
  /** A step at each value, for what stays until it changes. */
  readonly steps?: boolean;
  readonly dashed?: boolean;
}

/** Rows of the table beside a picture. */
const MOST_ROWS = 60;

/** A picture over time, with the same as a table for those who do not see it. */
export default function Chart({
  title,
  at,
  series,
  format = (value) => String(Math.round(value * 100) / 100),
  height = 220,
  time = true,
  across = 'Time',
}: {
  readonly title: string;
  /** Wall-clock ms, or whatever goes across. */
  readonly at: readonly number[];
  readonly series: readonly Series[];
  readonly format?: (value: number) => string;
  readonly height?: number;
  readonly time?: boolean;
  readonly across?: string;
}) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const name = useId();
  const scheme = useScheme();
  const shape = JSON.stringify(series.map((each) => ({ ...each, values: undefined })));
  const data: uPlot.AlignedData = [
    at.map((each) => (time ? each / 1_000 : each)),
    ...series.map(({ values }) => [...values]),
  ];
  // What is drawn does not wait for what it is drawn from.
  const latest = useRef({ data, format });
  latest.current = { data, format };
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const style = getComputedStyle(element);
    const colour = (variable: string) => style.getPropertyValue(variable).trim();
    const axis: uPlot.Axis = {
      stroke: colour('--soft'),
      grid: { stroke: colour('--line'), width: 1 },
      ticks: { stroke: colour('--line'), width: 1 },
      font: '12px system-ui, sans-serif',
    };
    // A value that stands alone is no line.
    const sparse = latest.current.data.slice(1).some((values) => isSparse([...values]));
    const lines = (JSON.parse(shape) as Omit<Series, 'values'>[]).map(
      ({ name: label, colour: which, area, steps, dashed }) => {
        const stroke = colour(`--series-${which}`);
        const stepped = uPlot.paths.stepped;
        return {
          ...{ label, stroke, width: 2, points: { show: sparse } },
          value: (_: uPlot, value: number | null) =>
            value === null ? '' : latest.current.format(value),
          ...(area === true ? { fill: `${stroke}40` } : {}),
          ...(steps === true && stepped !== undefined ? { paths: stepped({ align: 1 }) } : {}),
          ...(dashed === true ? { dash: [6, 4] } : {}),
        };
      },
    );
    const made = new uPlot(
      {
        ...{
          width: element.clientWidth,
          height,
          legend: { live: true },
          cursor: { drag: { x: false, y: false } },
        },
        scales: { x: { time }, y: { range: (_, __, most) => [0, most <= 0 ? 1 : most * 1.08] } },
        axes: [
          axis,
          {
            ...axis,
            size: 64,
            values: (_, values) => values.map((value) => latest.current.format(value)),
          },
        ],
        series: [{ label: across }, ...lines],
      },
      latest.current.data,
      element,
    );
    plot.current = made;
    const resized = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }));
    resized.observe(element);
    return () => {
      resized.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [shape, height, scheme, time, across]);
  useEffect(() => {
    plot.current?.setData(data);
  });
  const every = Math.max(1, Math.ceil(at.length / MOST_ROWS));
  return (
    <figure className="chart" aria-labelledby={name}>
      <figcaption id={name}>{title}</figcaption>
      <div ref={place} aria-hidden="true" />
      <details>
        <summary>As a table</summary>
        <div className="table" role="region" aria-label={`${title}, as a table`} tabIndex={0}>
          <table>
            <thead>
              <tr>
                <th scope="col">{across}</th>
                {series.map((each) => (
                  <th key={each.name} scope="col" className="number">
                    {each.name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {at.map((each, index) =>
                index % every === 0 ? (
                  <tr key={each}>
                    <th scope="row">{time ? new Date(each).toLocaleString() : each}</th>
                    {series.map(({ name: label, values }) => {
                      const value = values[index];
                      return (
                        <td key={label} className="number">
                          {value === null || value === undefined ? '' : format(value)}
                        </td>
                      );
                    })}
                  </tr>
                ) : null,
              )}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  );
}

/** Whether few of the values are there, so that lines between them are hardly seen. */
function isSparse(values: readonly (number | null | undefined)[]): boolean {
  const there = values.filter((value) => value !== null && value !== undefined).length;
  return there < 3 || there < values.length / 2;
}

const DARK = matchMedia('(prefers-color-scheme: dark)');

/** Pictures are drawn anew when the light changes. */
function useScheme(): string {
  const [scheme, setScheme] = useState(schemeNow);
  useEffect(() => {
    const changed = () => setScheme(schemeNow());
    DARK.addEventListener('change', changed);
    const watcher = new MutationObserver(changed);
    watcher.observe(document.documentElement, { attributeFilter: ['data-theme'] });
    return () => {
      DARK.removeEventListener('change', changed);
      watcher.disconnect();
    };
  }, []);
  return scheme;
}

function schemeNow(): string {
  return document.documentElement.dataset['theme'] ?? (DARK.matches ? 'dark' : 'light');
}
