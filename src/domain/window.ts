import { Cron } from 'croner';

/** A time that comes again: from each moment of a cron pattern on, for a while. */
export interface Window {
  /** Five fields: minute, hour, day of month, month, day of week. */
  readonly cron: string;
  readonly forMs: number;
  /** Such as `Europe/Zurich`; absent: UTC. */
  readonly timeZone?: string;
}

/** Windows are looked up more often than they begin or end: each is kept until then. */
const known = new WeakMap<
  Window,
  { readonly open: boolean; readonly from: number; until: number }
>();

/** Whether a window is open. Overlapping ones are as one. */
export function isOpen(window: Window, now: number): boolean {
  const last = known.get(window);
  if (last !== undefined && now >= last.from && now < last.until) return last.open;
  const { cron, forMs, timeZone = 'UTC' } = window;
  // The first that begins late enough to be open still, if it has begun.
  const begins = new Cron(cron, { timezone: timeZone }).nextRun(new Date(now - forMs))?.getTime();
  const open = begins !== undefined && begins <= now;
  const until = begins === undefined ? Infinity : open ? begins + forMs : begins;
  known.set(window, { open, from: now, until });
  return open;
}

/** What is wrong with a window, for people; undefined when nothing is. */
export function whyNoWindow({ cron, timeZone = 'UTC' }: Window): string | undefined {
  try {
    const next = new Cron(cron, { timezone: timeZone, mode: '5-part' }).nextRun();
    return next === null ? 'expected a cron pattern that comes again' : undefined;
  } catch (error) {
    const example =
      'expected five fields such as "0 8 * * 1-5", and a time zone such as Europe/Zurich';
    return `${example}: ${(error as Error).message}`;
  }
}
