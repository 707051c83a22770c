import type { Capacity } from '../../../src/protocol/api/history-resources.ts';
import { percent } from '../ui/amounts.ts';

const ROW = 16;
const LABEL = 130;
const WIDTH = 1000;

/** The use of each host over the time, a row each: the darker, the more. */
export function Heat({
  hosts,
  from,
  to,
}: {
  readonly hosts: Capacity['hosts'];
  readonly from: number;
  readonly to: number;
}) {
  const height = hosts.length * ROW + 18;
  const time = (at: number) =>
    new Date(at).toLocaleString(undefined, {
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
    });
  return (
    <div className="heat" role="region" aria-label="Use of hosts over time" tabIndex={0}>
      <svg
        viewBox={`0 0 ${WIDTH} ${height}`}
        role="img"
        aria-label={`Use of ${hosts.length} hosts over time; the table below has the same in numbers`}
      >
        {hosts.map(({ name, course = [] }, row) => {
          const wide = (WIDTH - LABEL) / Math.max(1, course.length);
          return (
            <g key={name}>
              <text x={LABEL - 8} y={row * ROW + 12} textAnchor="end">
                {name.length > 18 ? `${name.slice(0, 17)}…` : name}
              </text>
              {course.map((use, index) =>
                use <= 0 ? null : (
                  // Each stands for a time, which its place says.
                  <rect
                    key={index}
                    x={LABEL + index * wide}
                    y={row * ROW + 2}
                    width={wide + 0.5}
                    height={ROW - 4}
                    opacity={0.15 + 0.85 * Math.min(1, use)}
                  >
                    <title>{`${name}: ${percent(use)}`}</title>
                  </rect>
                ),
              )}
            </g>
          );
        })}
        <text x={LABEL} y={height - 4}>
          {time(from)}
        </text>
        <text x={WIDTH} y={height - 4} textAnchor="end">
          {time(to)}
        </text>
      </svg>
    </div>
  );
}
