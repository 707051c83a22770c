import { failsMoreOften, type Trials } from './evidence.ts';
import type { HostTaskKind } from './host-task.ts';

/** What is brought to hosts: a version of the agent, or settings. */
export const HOST_ROLLOUTS = ['agent', 'settings'] as const;
export type HostRolloutKind = (typeof HOST_ROLLOUTS)[number];

export const ROLLOUT_TASKS: Readonly<Record<HostRolloutKind, HostTaskKind>> = {
  ...{ agent: 'update', settings: 'configure' },
};

export type HostRolloutState = 'running' | 'paused' | 'done' | 'back';

/** Something that moves through the hosts ring by ring. */
export interface HostRollout {
  readonly what: HostRolloutKind;
  readonly state: HostRolloutState;
  /** Share of the hosts in per cent that have it after each ring; the last has all of them. */
  readonly rings: readonly number[];
  /** Index into `rings`. */
  readonly ring: number;
  /** When all hosts of the ring had it. */
  readonly ringDoneAt: number | undefined;
  /** Hosts at work at once. */
  readonly atOnce: number;
  /** How long a ring is watched before the next. */
  readonly soakMs: number;
}

/**
 * | state     | the host                                            |
 * |-----------|-----------------------------------------------------|
 * | waiting   | has what it had                                     |
 * | doing     | was asked, and did not say yet how it went          |
 * | done      | has the new one                                     |
 * | failed    | could not; it has what it had, or does not answer   |
 * | returning | was asked to go back                                |
 * | returned  | has what it had again                               |
 */
export type RolloutHostState = 'waiting' | 'doing' | 'done' | 'failed' | 'returning' | 'returned';

export interface RolloutHost {
  readonly id: string;
  readonly state: RolloutHostState;
  /** It is there, can do it, and has nothing else to do. */
  readonly able: boolean;
  /** It has the new one already, without having been asked. */
  readonly has: boolean;
  /** Why it failed. */
  readonly detail?: string | undefined;
}

/** What is to happen next. */
export type HostRolloutStep =
  | { readonly type: 'ask'; readonly hostId: string }
  | { readonly type: 'has'; readonly hostId: string }
  | { readonly type: 'return'; readonly hostId: string }
  | { readonly type: 'call-off'; readonly hostId: string }
  | { readonly type: 'ring-done' }
  | { readonly type: 'next' }
  | { readonly type: 'done' }
  | { readonly type: 'back'; readonly reason: string };

/** More of those that tried may not have failed. */
const FAILURES_BORNE = 0.05;
/** Fewer failures say nothing. */
const LEAST_FAILURES = 3;
const SIGNIFICANCE = 0.01;

/**
 * Decides what a roll-out to hosts does next. `hosts` are those it is for, in the order in which they have
 * their turn; `evidence` is how work went on hosts that have the new one, and without it. Pure.
 */
export function decideHostRollout(
  rollout: HostRollout,
  hosts: readonly RolloutHost[],
  evidence: { readonly new: Trials; readonly old: Trials },
  now: number,
): HostRolloutStep[] {
  switch (rollout.state) {
    case 'paused':
      return [];
    case 'back':
      return goBack(hosts);
    case 'done':
      return ask(rollout, hosts, hosts);
    case 'running':
      return goOn(rollout, hosts, evidence, now);
  }
}

function goOn(
  rollout: HostRollout,
  hosts: readonly RolloutHost[],
  evidence: { readonly new: Trials; readonly old: Trials },
  now: number,
): HostRolloutStep[] {
  const reason = whyBack(hosts, evidence);
  if (reason !== undefined) return [{ type: 'back', reason }];
  const ring = inTurn(hosts).slice(0, ringSize(rollout, hosts.length));
  const steps = ask(rollout, ring, hosts);
  const isOpen = ({ state, able }: RolloutHost) =>
    state === 'doing' || (state === 'waiting' && able);
  if (steps.length > 0 || ring.some(isOpen)) return steps;
  // Hosts that are away hold up nobody and get it when they are back; but some host has to try.
  if (!ring.some(({ state }) => state === 'done' || state === 'failed')) return [];
  if (rollout.ringDoneAt === undefined) return [{ type: 'ring-done' }];
  if (now - rollout.ringDoneAt < rollout.soakMs) return [];
  return [{ type: rollout.ring + 1 < rollout.rings.length ? 'next' : 'done' }];
}

/** Those that have begun come first, and those that are away last: they are no canaries. */
function inTurn(hosts: readonly RolloutHost[]): RolloutHost[] {
  const rank = ({ state, able, has }: RolloutHost) =>
    state !== 'waiting' ? 0 : able || has ? 1 : 2;
  return hosts.toSorted((a, b) => rank(a) - rank(b));
}

/** Hosts in the ring and those before it: at least one more in each. */
export function ringSize(
  { rings, ring }: Pick<HostRollout, 'rings' | 'ring'>,
  all: number,
): number {
  const share = rings[ring] ?? 100;
  return Math.min(all, Math.max(ring + 1, Math.ceil((all * share) / 100)));
}

function ask(
  { atOnce }: HostRollout,
  some: readonly RolloutHost[],
  all: readonly RolloutHost[],
): HostRolloutStep[] {
  let free = atOnce - all.filter(({ state }) => state === 'doing').length;
  const steps: HostRolloutStep[] = [];
  for (const { id: hostId, state, able, has } of some) {
    if (state !== 'waiting') continue;
    if (has) steps.push({ type: 'has', hostId });
    else if (able && free > 0) {
      steps.push({ type: 'ask', hostId });
      free -= 1;
    }
  }
  return steps;
}

function whyBack(
  hosts: readonly RolloutHost[],
  evidence: { readonly new: Trials; readonly old: Trials },
): string | undefined {
  const failed = hosts.filter(({ state }) => state === 'failed');
  const tried = failed.length + hosts.filter(({ state }) => state === 'done').length;
  if (failed.length > tried * FAILURES_BORNE) {
    return `${failed.length} of ${tried} hosts could not: ${failed[0]?.detail ?? 'no reason given'}`;
  }
  const { new: here, old } = evidence;
  if (here.failed < LEAST_FAILURES || !failsMoreOften(here, old, SIGNIFICANCE)) return undefined;
  return `${here.failed} of ${here.trials} jobs failed on hosts that have it, ${old.failed} of ${old.trials} without it`;
}

function goBack(hosts: readonly RolloutHost[]): HostRolloutStep[] {
  const steps: HostRolloutStep[] = [];
  for (const { id: hostId, state, able } of hosts) {
    // What is under way may be called off; how far it got is not known.
    if (state === 'doing') steps.push({ type: 'call-off', hostId });
    else if ((state === 'done' || state === 'failed') && able) {
      steps.push({ type: 'return', hostId });
    }
  }
  return steps;
}
