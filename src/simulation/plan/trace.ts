/** A job of the past. Times in ms. */
export interface TracedJob {
  /** When it was asked for, since 1970. */
  readonly at: number;
  /** How long it ran. */
  readonly lengthMs: number;
  readonly team: string;
}

/** Thrown for a trace that is not as expected; the message says where. */
export class TraceError extends Error {
  readonly code = 'trace';
}

/**
 * Reads a history of jobs, oldest first:
 *
 * - CSV with a heading: `queued_at` (ISO 8601, or seconds since 1970), `duration` (seconds), and maybe
 *   `team`; columns in any order, others are left aside.
 * - What GitHub answers for the jobs of a run, or an array of such jobs: `created_at`, `started_at`,
 *   `completed_at` (REST API, "List jobs for a workflow run").
 * - What Jenkins answers for `api/json?tree=builds[timestamp,duration]`: ms both.
 *
 * Jobs that did not end are left aside. Throws `TraceError`.
 */
export function readTrace(text: string, file: string): TracedJob[] {
  const jobs = /^\s*[[{]/.test(text) ? fromJson(text, file) : fromCsv(text, file);
  if (jobs.length === 0) throw new TraceError(`${file}: no job that ended is in it`);
  return jobs.toSorted((a, b) => a.at - b.at);
}

function fromCsv(text: string, file: string): TracedJob[] {
  const lines = text.split(/\r?\n/);
  const heading = (lines[0] ?? '').split(',').map((name) => name.trim().toLowerCase());
  const [queued, duration, team] = ['queued_at', 'duration', 'team'].map((name) =>
    heading.indexOf(name),
  );
  if (queued === undefined || duration === undefined || queued < 0 || duration < 0) {
    throw new TraceError(
      `${file}:1: expected a heading with queued_at and duration, such as queued_at,duration,team`,
    );
  }
  const jobs: TracedJob[] = [];
  for (const [index, line] of lines.entries()) {
    if (index === 0 || line.trim() === '') continue;
    const cells = line.split(',').map((cell) => cell.trim().replaceAll('"', ''));
    const at = timeOf(cells[queued] ?? '');
    const seconds = Number(cells[duration] === '' ? Number.NaN : cells[duration]);
    const where = `${file}:${index + 1}`;
    if (at === undefined) {
      throw new TraceError(
        `${where}: expected a time such as 2026-01-31T08:00:00Z, not ${cells[queued]}`,
      );
    }
    if (!(seconds >= 0)) {
      throw new TraceError(`${where}: expected seconds as duration, not ${cells[duration]}`);
    }
    jobs.push({ at, lengthMs: seconds * 1_000, team: cells[team ?? -1] ?? '' });
  }
  return jobs;
}

function timeOf(text: string): number | undefined {
  const time = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1_000 : Date.parse(text);
  return Number.isFinite(time) ? time : undefined;
}

interface GithubJob {
  readonly created_at?: string;
  readonly started_at?: string | null;
  readonly completed_at?: string | null;
}

interface JenkinsBuild {
  readonly timestamp?: number;
  readonly duration?: number;
}

function fromJson(text: string, file: string): TracedJob[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new TraceError(`${file}: ${(error as Error).message}`, { cause: error });
  }
  const { jobs, builds } = value as { jobs?: unknown; builds?: unknown };
  const list = Array.isArray(value) ? value : (jobs ?? builds);
  if (!Array.isArray(list)) {
    throw new TraceError(`${file}: expected an array, or an object with \`jobs\` or \`builds\``);
  }
  return list.flatMap((each: GithubJob & JenkinsBuild) => {
    const { timestamp, duration, created_at: created, started_at: started } = each;
    if (timestamp !== undefined && duration !== undefined && duration > 0) {
      return [{ at: timestamp, lengthMs: duration, team: '' }];
    }
    const from = Date.parse(started ?? '');
    const lengthMs = Date.parse(each.completed_at ?? '') - from;
    const at = Date.parse(created ?? started ?? '');
    return Number.isFinite(at) && lengthMs >= 0 ? [{ at, lengthMs, team: '' }] : [];
  });
}
