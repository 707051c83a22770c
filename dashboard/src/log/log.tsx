import { useCallback, useDeferredValue, useEffect, useMemo, useRef, useState } from 'react';
import { useRouterState } from '@tanstack/react-router';
import { useVirtualizer } from '@tanstack/react-virtual';
import { API, messageOf } from '../api/client.ts';
import { count } from '../ui/amounts.ts';
import { exactTime } from '../ui/time.tsx';
import { lineParts } from './ansi.tsx';
import { findLines, LogLines, visibleLines } from './log-lines.ts';
import { readLog } from './log-stream.ts';

const LINE_PX = 24;
/** What arrives in this time is drawn together. */
const DRAW_MS = 150;
/** So near the end, one looks at the end. */
const NEAR_END_PX = 40;

interface Arrived {
  readonly log: LogLines;
  /** How many lines there are: the log itself is one object that grows. */
  readonly lines: number;
  readonly ended: boolean;
  readonly problem: string | undefined;
}

/** The log of one hand-over as it arrives. */
export function useLog(
  jobId: string,
  epoch: number,
  onMark?: (mark: string, line: number) => void,
): Arrived {
  const [arrived, setArrived] = useState<Arrived>(() => ({
    log: new LogLines(),
    lines: 0,
    ended: false,
    problem: undefined,
  }));
  const told = useRef(onMark);
  told.current = onMark;
  useEffect(() => {
    const log = new LogLines((mark, line) => told.current?.(mark, line));
    let timer: ReturnType<typeof setTimeout> | undefined;
    let ended = false;
    let problem: string | undefined;
    const draw = () => {
      timer = undefined;
      setArrived({ log, lines: log.lines.length, ended, problem });
    };
    const stop = readLog(jobId, epoch, {
      data(bytes, time) {
        problem = undefined;
        log.push(bytes, time);
        timer ??= setTimeout(draw, DRAW_MS);
      },
      state(state) {
        ended = state.ended;
        problem = state.error === undefined ? undefined : messageOf(state.error);
        if (ended) log.end();
        clearTimeout(timer);
        draw();
      },
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [jobId, epoch]);
  return arrived;
}

/** A log of any length: with colours, searched, folded, linked by its lines, followed. */
export default function Log({
  jobId,
  epoch,
  ended: jobEnded,
}: {
  readonly jobId: string;
  readonly epoch: number;
  readonly ended: boolean;
}) {
  const { log, lines, ended, problem } = useLog(jobId, epoch);
  return (
    <LogView
      log={log}
      lines={lines}
      ended={ended}
      problem={problem}
      follows={!jobEnded}
      download={`${API}/jobs/${jobId}/log?epoch=${epoch}`}
      name={`${jobId}.log`}
    />
  );
}

export function LogView({
  log,
  lines,
  ended,
  problem,
  follows,
  download,
  name,
}: Arrived & { readonly follows: boolean; readonly download?: string; readonly name: string }) {
  const place = useRef<HTMLDivElement>(null);
  const [wanted, setWanted] = useState('');
  const text = useDeferredValue(wanted);
  const [at, setAt] = useState(0);
  const [folded, setFolded] = useState<ReadonlySet<number>>(new Set());
  const [following, setFollowing] = useState(follows);
  const here = useRouterState({
    select: ({ location }) => Number(/^L(\d+)$/.exec(location.hash)?.[1] ?? 0),
  });
  const found = useMemo(() => findLines(log.lines, lines, text), [log, lines, text]);
  const visible = useMemo(() => visibleLines(lines, log.groups, folded), [lines, log, folded]);
  const rows = visible?.length ?? lines;
  const virtual = useVirtualizer({
    count: rows,
    getScrollElement: () => place.current,
    estimateSize: () => LINE_PX,
    overscan: 20,
  });
  const show = useCallback(
    (line: number) => {
      setFollowing(false);
      // What is folded away is unfolded.
      setFolded(
        (before) =>
          new Set(
            [...before].filter(
              (start) => line <= start || line >= (log.groups.get(start)?.end ?? Infinity),
            ),
          ),
      );
      requestAnimationFrame(() =>
        virtual.scrollToIndex(visible === undefined ? line : Math.max(0, visible.indexOf(line)), {
          align: 'center',
        }),
      );
    },
    [log, virtual, visible],
  );
  useEffect(() => {
    if (following && rows > 0) virtual.scrollToIndex(rows - 1, { align: 'end' });
  }, [following, rows, virtual]);
  const linked = useRef(0);
  useEffect(() => {
    if (here === 0 || here > lines || linked.current === here) return;
    linked.current = here;
    show(here - 1);
  }, [here, lines, show]);
  const step = (by: number) => {
    if (found.length === 0) return;
    const next = (at + by + found.length) % found.length;
    setAt(next);
    const line = found[next];
    if (line !== undefined) show(line);
  };
  const scrolled = () => {
    const element = place.current;
    if (element === null || !following) return;
    // Whoever scrolls up wants to read.
    const fromEnd = element.scrollHeight - element.scrollTop - element.clientHeight;
    if (fromEnd > NEAR_END_PX + DRAW_MS * LINE_PX) setFollowing(false);
  };
  const current = found[at];
  return (
    <div className="log">
      <div className="log-bar" role="toolbar" aria-label="Log">
        <input
          type="search"
          aria-label="Search the log"
          placeholder="Search the log"
          value={wanted}
          onChange={({ target }) => {
            setWanted(target.value);
            setAt(0);
          }}
          onKeyDown={({ key, shiftKey }) => {
            if (key === 'Enter')
              step(shiftKey ? -1 : found.length > 0 && current !== undefined && at === 0 ? 0 : 1);
          }}
        />
        <button type="button" disabled={found.length === 0} onClick={() => step(-1)}>
          Previous
        </button>
        <button type="button" disabled={found.length === 0} onClick={() => step(1)}>
          Next
        </button>
        <span role="status">
          {text === ''
            ? count(lines, 'line')
            : found.length === 0
              ? 'not found'
              : `${at + 1} of ${found.length}`}
        </span>
        {!ended && (
          <button type="button" aria-pressed={following} onClick={() => setFollowing(!following)}>
            Follow
          </button>
        )}
        {log.groups.size > 0 && (
          <button
            type="button"
            onClick={() => setFolded(folded.size > 0 ? new Set() : new Set(log.groups.keys()))}
          >
            {folded.size > 0 ? 'Unfold all' : 'Fold all'}
          </button>
        )}
        {download !== undefined && (
          <a className="button" href={download} download={name}>
            Download
          </a>
        )}
        {problem !== undefined && <span role="alert">{problem}</span>}
      </div>
      <div
        className="log-lines"
        ref={place}
        onScroll={scrolled}
        role="region"
        aria-label="Lines of the log"
        tabIndex={0}
      >
        <div className="inner" style={{ height: virtual.getTotalSize() }}>
          {virtual.getVirtualItems().map(({ index, start }) => {
            const line = visible?.[index] ?? index;
            const entry = log.lines[line];
            if (entry === undefined) return null;
            const group = log.groups.get(line);
            const marks = `${line + 1 === here ? ' here' : ''}${line === current && text !== '' ? ' found' : ''}${group === undefined ? '' : ' group'}`;
            return (
              <div
                key={line}
                className={`log-line${marks}`}
                style={{ transform: `translateY(${start}px)` }}
              >
                <a
                  className="log-number"
                  href={`#L${line + 1}`}
                  title={exactTime(entry.time)}
                  aria-label={`Line ${line + 1}`}
                >
                  {line + 1}
                </a>
                {group === undefined ? (
                  <span>{lineParts(entry, text)}</span>
                ) : (
                  <button
                    type="button"
                    className="log-fold"
                    aria-expanded={!folded.has(line)}
                    onClick={() =>
                      setFolded((before) => {
                        const after = new Set(before);
                        if (!after.delete(line)) after.add(line);
                        return after;
                      })
                    }
                  >
                    {folded.has(line) ? '▸ ' : '▾ '}
                    {lineParts(entry, text)}
                  </button>
                )}
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}
