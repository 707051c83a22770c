import { scenarioOf, type FaultGroup, type Scenario, type ScenarioSize } from './scenario.ts';
import { World, type Played } from './world.ts';

/** A run in which something did not hold. */
export interface Failure {
  readonly scenario: Scenario;
  readonly played: Played;
}

/** Plays a scenario from its beginning to its end: the same one always goes the same way. */
export function play(scenario: Scenario): Promise<Played> {
  return new World(scenario).play();
}

/** Plays what a seed means. */
export async function playSeed(
  seed: number,
  size: ScenarioSize,
  groups: readonly FaultGroup[],
): Promise<Failure> {
  const scenario = scenarioOf(seed, size, groups);
  return { scenario, played: await play(scenario) };
}

/** Tries of one shrinking at most. */
const TRIES = 300;

/**
 * A smaller scenario that fails by the same invariant: fewer faults, jobs, controllers and hosts, as
 * long as that goes. `progress` is told of each that is smaller.
 */
export async function shrink(
  failure: Failure,
  progress: (smaller: Scenario) => void = () => undefined,
): Promise<Failure> {
  const [violation] = failure.played.violations;
  let smallest = failure;
  let tries = 0;
  const fails = async (scenario: Scenario): Promise<boolean> => {
    if (tries >= TRIES) return false;
    tries += 1;
    const played = await play(scenario);
    if (played.violations[0]?.invariant !== violation?.invariant) return false;
    smallest = { scenario, played };
    progress(scenario);
    return true;
  };
  for (let again = true; again && tries < TRIES;) {
    again = false;
    for (const list of ['faults', 'jobs'] as const) {
      for (let part = smallest.scenario[list].length; part >= 1; part = Math.floor(part / 2)) {
        for (let from = 0; from < smallest.scenario[list].length;) {
          const kept = smallest.scenario[list].toSpliced(from, part);
          if (await fails({ ...smallest.scenario, [list]: kept })) again = true;
          else from += part;
        }
      }
    }
    for (const number of ['controllers', 'hosts'] as const) {
      const less = smallest.scenario[number] - 1;
      if (less >= 1 && (await fails({ ...smallest.scenario, [number]: less }))) again = true;
    }
  }
  return smallest;
}
