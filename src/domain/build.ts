/** What a job asks for that builds a spec with the engine of a host. */
export interface BuildOrder {
  /** The spec's text, and its name for messages. */
  readonly spec: string;
  readonly file: string;
  readonly noCache: boolean;
  /** Its results and caches are kept from trusted builds. */
  readonly untrusted: boolean;
  /** How its log tells what happens. */
  readonly format: 'plain' | 'json';
  /** Names of the fleet's secrets by the ids that the spec has for them. */
  readonly secrets: Readonly<Record<string, string>>;
  /** Driver name of the store it wants to be built in. */
  readonly store?: string;
  /**
   * One for each step from the base on: equal hints mean, in all likelihood, equal steps over equal
   * steps. Only for choosing a host.
   */
  readonly hints: readonly string[];
}

/** What the scheduler looks at. */
export type BuildWish = Pick<BuildOrder, 'store' | 'hints'>;

/** What a host says of the builds it does. */
export interface HostBuilds {
  /** Driver name of its store. */
  readonly store: string;
  /** Of steps that it has, those used last. */
  readonly hints: readonly string[];
}

/** Hints that a host tells at most. */
export const MOST_HINTS = 500;

/** How many steps of a build a host has already, as far as it can be told. */
export function cachedSteps(wish: BuildWish, host: HostBuilds | undefined): number {
  if (host === undefined) return 0;
  // A step rests on all before it, so the last one that is there tells of them too.
  return wish.hints.findLastIndex((hint) => host.hints.includes(hint)) + 1;
}
