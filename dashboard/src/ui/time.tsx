import { useSyncExternalStore } from 'react';

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
] as const;

/** A duration as people say it: `3 min 20 s`, `450 ms`. */
export function span(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 10_000) return `${(ms / 1_000).toFixed(1)} s`;
  const at = UNITS.findIndex(([, unit]) => ms >= unit);
  const [name, unit] = UNITS[at] ?? UNITS[3];
  const whole = Math.floor(ms / unit);
  const finer = UNITS[at + 1];
  const rest = finer === undefined ? 0 : Math.floor((ms % unit) / finer[1]);
  return rest === 0 || finer === undefined
    ? `${whole} ${name}`
    : `${whole} ${name} ${rest} ${finer[0]}`;
}

const clockListeners = new Set<() => void>();
let nowMs = Date.now();
let ticking: ReturnType<typeof setInterval> | undefined;

function listenClock(listener: () => void): () => void {
  clockListeners.add(listener);
  ticking ??= setInterval(() => {
    nowMs = Date.now();
    for (const each of clockListeners) each();
  }, 1_000);
  return () => {
    clockListeners.delete(listener);
    if (clockListeners.size > 0) return;
    clearInterval(ticking);
    ticking = undefined;
  };
}

/** The present second. Whoever uses it is drawn anew each second. */
export function useNow(): number {
  return useSyncExternalStore(listenClock, () => nowMs);
}

const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

export function exactTime(at: number): string {
  return EXACT.format(at);
}

/** How long ago something was; the exact time when one points at it. */
export function Ago({ at }: { readonly at: number }) {
  const now = useNow();
  const age = now - at;
  const text = age < 0 ? `in ${span(-age)}` : age < 5_000 ? 'now' : `${span(roughly(age))} ago`;
  return (
    <time dateTime={new Date(at).toISOString()} title={exactTime(at)}>
      {text}
    </time>
  );
}

/** Since when something goes on. */
export function Since({ at }: { readonly at: number }) {
  return <>{span(Math.max(0, roughly(useNow() - at)))}</>;
}

/** Seconds, and from ten minutes on minutes: what changes all the time is not read. */
function roughly(ms: number): number {
  const unit = ms < 600_000 ? 1_000 : 60_000;
  return Math.floor(ms / unit) * unit;
}
