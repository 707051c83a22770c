import type { JobRow } from '../db/queries/jobs.ts';
import { QUOTA, WEIGHT } from './scenario.ts';

/** What waits for longer is known to whoever decides. */
const KNOWN_AFTER_MS = 10_000;
/** A decision that is carried out now may have been made so long ago. */
const DECIDED_MS = 5_000;
/** Jobs for its weight by which a team may be ahead of one that waits. */
const AHEAD = 1;

interface Having {
  readonly team: string;
  readonly pool: string;
  readonly since: number;
}

/**
 * Whether teams get their shares: a team whose jobs wait has no less for its weight than a team that gets a
 * job of the same pool, but for one job, and those that ended since it was decided.
 */
export class Shares {
  readonly #waiting = new Map<string, Having>();
  readonly #running = new Map<string, Having>();
  #ended: Having[] = [];

  /** Takes in what one transaction changed; says what is not fair about it. */
  changed(rows: readonly JobRow[], now: number): string | undefined {
    const given: Having[] = [];
    for (const { id, state, team, pool } of rows) {
      const having = { team: team ?? '', pool: pool ?? '', since: now };
      const ran = this.#running.get(id);
      if (state !== 'queued') this.#waiting.delete(id);
      else if (!this.#waiting.has(id)) this.#waiting.set(id, having);
      if (state === 'assigned' || state === 'running') {
        if (ran === undefined) given.push(having);
        this.#running.set(id, ran ?? having);
      } else if (ran !== undefined) {
        this.#running.delete(id);
        this.#ended.push(having);
      }
    }
    this.#ended = this.#ended.filter(({ since }) => now - since < DECIDED_MS);
    for (const one of given) {
      const why = this.#whyUnfair(one, now);
      if (why !== undefined) return why;
    }
    return undefined;
  }

  #whyUnfair({ team, pool }: Having, now: number): string | undefined {
    const has = (this.#countOf(this.#running.values(), team) - 1) / weightOf(team);
    for (const other of this.#waiting.values()) {
      if (other.team === team || other.pool !== pool) continue;
      if (now - other.since < KNOWN_AFTER_MS) continue;
      const running = this.#countOf(this.#running.values(), other.team);
      const ended = this.#countOf(this.#ended, other.team);
      if (other.team === 'red' && running + ended >= QUOTA) continue;
      if (has <= (running + ended) / weightOf(other.team) + AHEAD) continue;
      return `${team} gets one more of ${pool} with ${has} for its weight, and ${other.team} waits with ${running}`;
    }
    return undefined;
  }

  #countOf(having: Iterable<Having>, team: string): number {
    let count = 0;
    for (const each of having) if (each.team === team) count += 1;
    return count;
  }
}

function weightOf(team: string): number {
  return team === 'green' ? WEIGHT : 1;
}
