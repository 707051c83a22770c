import type { Step } from './steps-of.ts';

/** One step as a row of the graph: each build, nested or not, has a lane while it matters. */
export interface GraphRow {
  readonly step: Step;
  /** Of its own build; the outermost has 0. */
  readonly lane: number;
  /** Its build has a step above, and goes on below. */
  readonly above: boolean;
  readonly below: boolean;
  /** Lane of the build that it copies from, which leads into it. */
  readonly joins: number | undefined;
  /** Lanes of other builds that pass by. */
  readonly passing: readonly number[];
}

/** What a build's rows are from and to: from its base to its last step, or to the last that copies from it. */
interface Reach {
  readonly first: number;
  last: number;
}

/** Steps from top to bottom, each below all that it needs: what a step copies from is right above it. */
export function graphOf(steps: readonly Step[]): GraphRow[] {
  const rows = inOrder(steps);
  const reaches = new Map<string, Reach>();
  rows.forEach(({ build, copies }, row) => {
    for (const path of copies === undefined ? [build] : [build, copies]) {
      const reach = reaches.get(keyOf(path));
      if (reach !== undefined) reach.last = row;
      else if (path === build) reaches.set(keyOf(path), { first: row, last: row });
    }
  });
  const lanes = lanesOf(reaches);
  return rows.map((step, row) => {
    const build = keyOf(step.build);
    const { first, last } = reaches.get(build) ?? { first: row, last: row };
    const others = [...reaches].filter(
      ([key, reach]) => key !== build && reach.first < row && row < reach.last,
    );
    return {
      ...{ step, lane: lanes.get(build) ?? 0, above: row > first, below: row < last },
      joins: step.copies === undefined ? undefined : lanes.get(keyOf(step.copies)),
      passing: others.map(([key]) => lanes.get(key) ?? 0),
    };
  });
}

function inOrder(steps: readonly Step[]): Step[] {
  const builds = Map.groupBy(steps, ({ build }) => keyOf(build));
  const rows: Step[] = [];
  const take = (key: string): void => {
    const own = builds.get(key);
    if (own === undefined) return;
    builds.delete(key);
    for (const step of own.toSorted((a, b) => a.index - b.index)) {
      if (step.copies !== undefined) take(keyOf(step.copies));
      rows.push(step);
    }
    // Nothing has copied from these yet.
    for (const [inner, [step]] of builds) {
      if (keyOf(step?.build.slice(0, -1) ?? []) === key) take(inner);
    }
  };
  take(keyOf([]));
  for (const key of builds.keys()) take(key);
  return rows;
}

/** Each build takes the first lane that is free from its first row on; the outermost keeps its own. */
function lanesOf(reaches: ReadonlyMap<string, Reach>): Map<string, number> {
  const lanes = new Map<string, number>();
  const busyUntil: number[] = [];
  for (const [key, { first, last }] of reaches) {
    const free = busyUntil.findIndex((until) => until < first);
    const lane = free === -1 ? busyUntil.length : free;
    busyUntil[lane] = key === keyOf([]) ? Infinity : last;
    lanes.set(key, lane);
  }
  return lanes;
}

function keyOf(path: readonly string[]): string {
  return JSON.stringify(path);
}
