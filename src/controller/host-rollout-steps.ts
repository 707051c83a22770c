import { factsOf, findHost, taskOf, type HostRow } from '../db/queries/hosts.ts';
import {
  moveHostRollout,
  setRolloutHost,
  type HostRolloutRow,
  type RolloutHostRow,
} from '../db/queries/host-rollouts.ts';
import {
  ROLLOUT_TASKS,
  type HostRolloutKind,
  type HostRolloutStep,
} from '../domain/host-rollout.ts';
import { hostLabels } from '../domain/scheduling/fit.ts';
import type { Changes } from './context.ts';
import { rolloutTask } from './host-rollout-progress.ts';
import { askHost, callOff } from './host-tasks.ts';

/** Whether a roll-out for hosts with these labels is for this one. */
export function isFor(host: HostRow, labels: readonly string[]): boolean {
  const facts = factsOf(host);
  if (facts === undefined || host.state === 'retiring') return false;
  const its = hostLabels(facts);
  return labels.every((label) => its.includes(label));
}

/** It can do that, and has nothing else to do. */
export function isAble(host: HostRow, what: HostRolloutKind): boolean {
  const can = factsOf(host)?.tasks?.includes(ROLLOUT_TASKS[what]) === true;
  return can && taskOf(host) === undefined && host.state !== 'quarantined';
}

/** What a host has of it now. */
export function valueOf(host: HostRow, what: HostRolloutKind): string {
  if (what === 'agent') return host.agent_version ?? '';
  return JSON.stringify(factsOf(host)?.settings ?? {});
}

/** Carries out one step of a roll-out, in the transaction in which it was decided. */
export async function carryOut(
  changes: Changes,
  row: HostRolloutRow,
  known: ReadonlyMap<string, RolloutHostRow>,
  step: HostRolloutStep,
): Promise<void> {
  const { tx, now, event } = changes;
  const { what, ring } = row;
  switch (step.type) {
    case 'ask':
    case 'return': {
      const host = await findHost(tx, step.hostId);
      if (host === undefined) return;
      const back = step.type === 'return';
      const value = back ? (known.get(host.id)?.before ?? '{}') : row.value;
      await setRolloutHost(tx, {
        ...{ what, hostId: host.id, state: back ? 'returning' : 'doing', now },
        ...(back ? {} : { before: valueOf(host, what) }),
      });
      return askHost(changes, host, {
        ...{ kind: ROLLOUT_TASKS[what], value, of: rolloutTask(what) },
        reason: back ? `the roll-out of ${what} went back` : `a roll-out of ${what}`,
        withinMs: row.within_ms ?? undefined,
      });
    }
    case 'has':
      return setRolloutHost(tx, { what, hostId: step.hostId, state: 'done', now });
    case 'call-off': {
      const host = await findHost(tx, step.hostId);
      const task = host === undefined ? undefined : taskOf(host);
      if (host !== undefined && task?.of === rolloutTask(what)) await callOff(changes, host);
      const state = task?.given === true ? 'failed' : 'waiting';
      return setRolloutHost(tx, { what, hostId: step.hostId, state, detail: 'called off', now });
    }
    case 'ring-done':
      return moveHostRollout(tx, what, {
        ...{ state: row.state, ring, ringDoneAt: now, reason: undefined, now },
      });
    case 'next':
    case 'done': {
      const state = step.type === 'done' ? 'done' : row.state;
      const next = step.type === 'done' ? ring : ring + 1;
      const to = { state, ring: next, ringDoneAt: undefined, reason: undefined, now };
      await moveHostRollout(tx, what, to);
      return event('host-rollout', what, step.type === 'done' ? 'done' : `ring-${next + 1}`);
    }
    case 'back':
      await moveHostRollout(tx, what, {
        ...{ state: 'back', ring, ringDoneAt: undefined, reason: step.reason, now },
      });
      return event('host-rollout', what, 'back', step.reason);
  }
}
