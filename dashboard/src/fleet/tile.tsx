import { memo } from 'react';
import { Link } from '@tanstack/react-router';
import { useWorkersOf } from '../api/live.ts';
import type { LiveHost, WorkerView } from '../api/live-store.ts';
import { Badge } from '../ui/parts.tsx';
import { hostState, slotOf } from './look.ts';

const SHOWN_SLOTS = 24;

/** One host on the wall. It is drawn anew only when the host or one of its workers changed. */
export const Tile = memo(function Tile({
  host,
  selected,
  select,
}: {
  readonly host: LiveHost;
  readonly selected: boolean;
  /** Absent: who looks may not do anything with hosts. */
  readonly select: ((name: string, on: boolean) => void) | undefined;
}) {
  const workers = useWorkersOf(host.name);
  const { tone, word } = hostState(host);
  const trouble = host.alarms[0] ?? host.drift[0];
  const marks = host.alarms.length > 0 ? ' alarmed' : host.drift.length > 0 ? ' drifted' : '';
  return (
    <article className={`tile${marks}`} aria-label={`Host ${host.name}`}>
      <div className="tile-head">
        {select !== undefined && (
          <input
            type="checkbox"
            aria-label={`Select ${host.name}`}
            checked={selected}
            onChange={({ target }) => select(host.name, target.checked)}
          />
        )}
        <Link
          to="/hosts/$name"
          params={{ name: host.name }}
          className="tile-name"
          title={host.name}
        >
          {host.name}
        </Link>
        <Badge tone={tone}>{word}</Badge>
      </div>
      <Slots workers={workers} slots={host.slots} />
      <div className="tile-line">
        {host.os ?? 'unknown system'} {host.arch ?? ''}
        {host.diskFreeGib !== undefined && `, ${host.diskFreeGib} GiB free`}
      </div>
      <div className="tile-line" title={host.images.join(', ')}>
        {imagesText(host, workers)}
      </div>
      {trouble !== undefined && (
        <div
          className={`tile-line ${host.alarms.length > 0 ? 'bad' : ''}`}
          title={[...host.alarms, ...host.drift].join('\n')}
        >
          {trouble}
        </div>
      )}
    </article>
  );
});

function Slots({
  workers,
  slots,
}: {
  readonly workers: readonly WorkerView[];
  readonly slots: number;
}) {
  const kinds = workers.map(slotOf);
  const running = kinds.filter((kind) => kind === 'running').length;
  const ready = kinds.filter((kind) => kind === 'ready').length;
  const shown = [
    ...kinds.slice(0, SHOWN_SLOTS),
    ...Array<'free'>(Math.max(0, Math.min(SHOWN_SLOTS, slots) - kinds.length)).fill('free'),
  ];
  return (
    <div
      className="slots"
      role="img"
      aria-label={`${running} of ${slots} places run jobs, ${ready} are ready`}
    >
      {shown.map((kind, index) => (
        // Places have no names: what counts is how many there are of each kind.
        <span key={index} className={`slot ${kind}`} />
      ))}
    </div>
  );
}

/** What its workers are made from now, and else what it has. */
function imagesText(host: LiveHost, workers: readonly WorkerView[]): string {
  const used = [...new Set(workers.map(({ image }) => image))];
  const names = used.length > 0 ? used : host.images.filter((name) => name !== 'empty');
  return names.length === 0 ? 'no image' : names.join(', ');
}
