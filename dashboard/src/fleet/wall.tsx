import { useEffect, useMemo, useRef, useState } from 'react';
import { useVirtualizer } from '@tanstack/react-virtual';
import type { LiveHost } from '../api/live-store.ts';
import { count } from '../ui/amounts.ts';
import type { HostGroup } from './look.ts';
import { Tile } from './tile.tsx';

const TILE_PX = 124;
const GAP_PX = 8;
const LEAST_TILE_PX = 230;
const HEADING_PX = 40;

type Row =
  | { readonly kind: 'heading'; readonly text: string }
  | { readonly kind: 'tiles'; readonly hosts: readonly LiveHost[] };

/** All hosts as tiles; only those that are in sight are drawn. */
export function Wall({
  groups,
  selected,
  select,
}: {
  readonly groups: readonly HostGroup[];
  readonly selected: ReadonlySet<string>;
  readonly select: ((name: string, on: boolean) => void) | undefined;
}) {
  const wall = useRef<HTMLDivElement>(null);
  const columns = useColumns(wall);
  const rows = useMemo(() => rowsOf(groups, columns), [groups, columns]);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => wall.current,
    estimateSize: (index) => (rows[index]?.kind === 'heading' ? HEADING_PX : TILE_PX + GAP_PX),
    overscan: 3,
  });
  // Headings may stand elsewhere now.
  useEffect(() => virtual.measure(), [rows, virtual]);
  return (
    <div
      className="wall"
      ref={wall}
      style={{ maxHeight: virtual.getTotalSize() + 2 * GAP_PX }}
      role="region"
      aria-label="Hosts"
      tabIndex={0}
    >
      <div className="wall-inner" style={{ height: virtual.getTotalSize() + GAP_PX }}>
        {virtual.getVirtualItems().map(({ index, start }) => {
          const row = rows[index];
          if (row === undefined) return null;
          const place = { transform: `translateY(${start}px)` };
          if (row.kind === 'heading') {
            return (
              <h2 key={`heading ${row.text}`} className="wall-group" style={place}>
                {row.text}
              </h2>
            );
          }
          return (
            <div
              key={index}
              className="wall-row"
              style={{ ...place, gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))` }}
            >
              {row.hosts.map((host) => (
                <Tile
                  key={host.name}
                  host={host}
                  selected={selected.has(host.name)}
                  select={select}
                />
              ))}
            </div>
          );
        })}
      </div>
    </div>
  );
}

function rowsOf(groups: readonly HostGroup[], columns: number): Row[] {
  return groups.flatMap(({ name, hosts }): Row[] => {
    const rows: Row[] = [];
    if (name !== '')
      rows.push({ kind: 'heading', text: `${name} (${count(hosts.length, 'host')})` });
    for (let at = 0; at < hosts.length; at += columns)
      rows.push({ kind: 'tiles', hosts: hosts.slice(at, at + columns) });
    return rows;
  });
}

function useColumns(wall: React.RefObject<HTMLDivElement | null>): number {
  const [columns, setColumns] = useState(4);
  useEffect(() => {
    const element = wall.current;
    if (element === null) return;
    const watcher = new ResizeObserver(() =>
      setColumns(Math.max(1, Math.floor(element.clientWidth / LEAST_TILE_PX))),
    );
    watcher.observe(element);
    return () => watcher.disconnect();
  }, [wall]);
  return columns;
}
