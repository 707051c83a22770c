import type { Fleet } from './fleet.ts';
import type { QueuedJob, TeamRules } from './fleet-view.ts';
import type { Band, Line } from './job-queue.ts';

/** Serves a job; false when nothing can be had for it, and so for none of its line. */
export type Serve = (job: QueuedJob, line: Line) => boolean;

const NO_RULES: TeamRules = { weight: 1 };

/**
 * Whose turn it is. Urgent jobs first, then by priority; within one, the next is of the team that has
 * the least for its weight, counting what it has running and what it was given in this pass. So each
 * team gets its share whoever asked first or most, and a team that is alone has all. A team at its
 * quota waits, but for urgent jobs. Within a team the oldest job goes first.
 */
export class Turns {
  readonly #fleet: Fleet;
  readonly #has: Map<string, number>;
  /** How many of a line were served. */
  readonly #served = new Map<Line, number>();

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
    this.#has = new Map(fleet.runningByTeam);
  }

  /** Goes through the jobs that were not served yet. */
  each(serve: Serve): void {
    for (const band of this.#fleet.queue.bands) this.#eachOf(band, serve);
  }

  #eachOf(band: Band, serve: Serve): void {
    const urgent = band.priority === Infinity;
    const teams = [...band.teams].map(([team, lines]) => ({ team, lines: [...lines.values()] }));
    for (;;) {
      let next: { lines: Line[]; line: Line; job: QueuedJob; share: number } | undefined;
      for (const { team, lines } of teams) {
        if (lines.length === 0) continue;
        const share = urgent ? 0 : this.#shareOf(team);
        if (next !== undefined && share > next.share) continue;
        const first = this.#oldest(lines);
        if (first === undefined) continue;
        if (next === undefined || share < next.share || first.job.id < next.job.id) {
          next = { lines, ...first, share };
        }
      }
      if (next === undefined || next.share === Infinity) return;
      const { line, lines, job } = next;
      if (serve(job, line)) {
        this.#served.set(line, (this.#served.get(line) ?? 0) + 1);
        this.#has.set(line.team, (this.#has.get(line.team) ?? 0) + 1);
      } else lines.splice(lines.indexOf(line), 1);
    }
  }

  /** What the team has for its weight; infinite at its quota. */
  #shareOf(team: string): number {
    const { weight, quota = Infinity } = this.#fleet.teams.get(team) ?? NO_RULES;
    const has = this.#has.get(team) ?? 0;
    return has >= quota ? Infinity : has / weight;
  }

  #oldest(lines: readonly Line[]): { line: Line; job: QueuedJob } | undefined {
    let oldest: { line: Line; job: QueuedJob } | undefined;
    for (const line of lines) {
      const job = line.jobs.at(this.#served.get(line) ?? 0);
      if (job === undefined) continue;
      if (oldest === undefined || job.id < oldest.job.id) oldest = { line, job };
    }
    return oldest;
  }
}
