import { Random } from './random.ts';

/**
 * What may go wrong, or be asked for in the middle of it. `cloud`: hosts are taken away, and others come.
 */
export const FAULT_GROUPS = ['network', 'hosts', 'storage', 'cloud'] as const;
export type FaultGroup = (typeof FAULT_GROUPS)[number];

export const FAULT_KINDS = [
  'cut-host',
  'cut-database',
  'slow-network',
  'kill-controller',
  'still-controller',
  'clock-jump',
  'kill-agent',
  'still-agent',
  'reboot-host',
  'boots-fail',
  'boots-hang',
  'leak-slot',
  'disk-full',
  'conflicts',
  'wipe-host',
  'take-host',
  'ask-host',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

const KINDS: Readonly<Record<FaultGroup, readonly FaultKind[]>> = {
  network: ['cut-host', 'cut-host', 'cut-database', 'slow-network'],
  hosts: [
    ...(['kill-agent', 'still-agent', 'reboot-host', 'boots-fail', 'boots-hang'] as const),
    ...(['leak-slot', 'kill-controller', 'still-controller', 'clock-jump'] as const),
    // Somebody has a host restart its agent, clean up or reboot.
    'ask-host',
  ],
  storage: ['disk-full', 'conflicts', 'wipe-host'],
  cloud: ['take-host'],
};

/** One thing that goes wrong. Times in ms since the beginning. */
export interface Fault {
  readonly at: number;
  readonly kind: FaultKind;
  /** Which host or controller, counted from 0 over those there are. */
  readonly target: number;
  /** How long it lasts, or how long until it is back. */
  readonly ms: number;
}

export interface SimJob {
  readonly at: number;
  readonly lengthMs: number;
  readonly exitCode: number;
  readonly retries: number;
  readonly team: string;
  readonly pool: string;
  readonly cancelAt?: number;
}

/** All that is played, but for the chances that the seed decides while it is played. */
export interface Scenario {
  readonly seed: number;
  readonly hosts: number;
  readonly controllers: number;
  readonly jobs: readonly SimJob[];
  readonly faults: readonly Fault[];
}

export interface ScenarioSize {
  readonly hosts: number;
  readonly jobs: number;
  readonly controllers: number;
  /** Jobs come and things go wrong for so long. */
  readonly ms: number;
  /** Things that go wrong. */
  readonly faults: number;
}

/** A long time: hosts that are gone for so long are given up. */
const LONG_MS = 150_000;

export const TEAMS = ['red', 'green', 'blue'] as const;
/** `red` may run two jobs at once. */
export const QUOTA = 2;
/** `green` has twice the share of the others. */
export const WEIGHT = 2;

/** What a seed means for fleets of this size. */
export function scenarioOf(
  seed: number,
  size: ScenarioSize,
  groups: readonly FaultGroup[],
): Scenario {
  const random = new Random(seed);
  const kinds = groups.flatMap((group) => KINDS[group]);
  // Half of the fleets have a burst: more jobs at once than there is room for.
  const burst = random.chance(0.5) ? random.between(0, size.ms) : undefined;
  const jobs = Array.from({ length: size.jobs }, (): SimJob => {
    const at =
      burst !== undefined && random.chance(0.8)
        ? burst + random.between(0, 2_000)
        : random.between(0, size.ms);
    return {
      ...{ at, lengthMs: random.chance(0.1) ? 60_000 : random.between(100, 20_000) },
      exitCode: random.chance(0.1) ? 1 : 0,
      retries: random.chance(0.3) ? 2 : 0,
      ...{ team: random.pick(TEAMS), pool: random.chance(0.7) ? 'macs' : 'linux' },
      ...(random.chance(0.08) ? { cancelAt: at + random.between(0, 40_000) } : {}),
    };
  });
  const count = kinds.length === 0 ? 0 : random.below(size.faults + 1);
  const faults = Array.from({ length: count }, (): Fault => ({
    ...{ at: random.between(0, size.ms), kind: random.pick(kinds) },
    ...{ target: random.below(64), ms: random.between(500, random.chance(0.2) ? LONG_MS : 20_000) },
  }));
  return {
    ...{ seed, hosts: size.hosts, controllers: size.controllers },
    jobs: jobs.toSorted((a, b) => a.at - b.at),
    faults: faults.toSorted((a, b) => a.at - b.at),
  };
}
