import { factsOf, setHostState, setHostStrikes, setHostTask } from '../db/queries/hosts.ts';
import { findHost, taskOf, type HostRow, type HostTaskRecord } from '../db/queries/hosts.ts';
import {
  NEEDS_EMPTY,
  repairsOf,
  TASK_TIMEOUTS_MS,
  TASK_WORDS,
  type HostTaskKind,
  type ObservedTask,
} from '../domain/host-task.ts';
import { rung, type Quarantine } from '../domain/quarantine.ts';
import { ProblemError } from '../protocol/problem.ts';
import type { Changes } from './context.ts';
import { rolloutTaskEnded } from './host-rollout-progress.ts';

/** What hosts do to themselves: asked for, given once the host is empty, and ended by its agent's word. */

export interface TaskOrder {
  readonly kind: HostTaskKind;
  readonly value?: string;
  /** Why, for people. */
  readonly reason: string;
  readonly of?: string;
  /** What still runs there is ended after this time; absent: it is waited for. */
  readonly withinMs?: number | undefined;
}

/** What repairs by quarantine belong to. */
export const QUARANTINE = 'quarantine';

const HOW_TO: Readonly<Record<HostTaskKind, string>> = {
  restart: 'its agent does not run by itself, as with `pomona agent run`',
  clean: 'its agent is of an older version',
  reboot: 'start its agent with --reboot-command',
  reimage: 'start its agent with --reimage-command',
  update: 'start its agent with --update-command',
  configure: 'its agent does not run by itself, as with `pomona agent run`',
};

/** Asks a host for something. Throws `ProblemError` when it has something to do already, or cannot. */
export async function askHost(changes: Changes, row: HostRow, order: TaskOrder): Promise<void> {
  const before = taskOf(row);
  if (before !== undefined) {
    throw new ProblemError(
      'conflict',
      `host ${row.name} is to ${TASK_WORDS[before.kind]} (${before.reason}); \`pomona host resume ${row.name}\` calls that off`,
    );
  }
  if (factsOf(row)?.tasks?.includes(order.kind) !== true) {
    throw new ProblemError(
      'conflict',
      `host ${row.name} cannot ${TASK_WORDS[order.kind]} when asked: ${HOW_TO[order.kind]}`,
    );
  }
  await put(changes, row, order);
}

async function put(changes: Changes, row: HostRow, order: TaskOrder): Promise<void> {
  const { withinMs, ...rest } = order;
  const { tx, now, newId, event, host } = changes;
  const task: HostTaskRecord = {
    ...{ id: newId('t'), ...rest, given: false },
    ...(withinMs === undefined ? {} : { drainBy: now + withinMs }),
  };
  await setHostTask(tx, row.id, NEEDS_EMPTY.has(order.kind) ? task : given(task, now));
  await event('host', row.name, `${order.kind}-asked`, order.reason);
  host(row.id);
}

function given(task: HostTaskRecord, now: number): HostTaskRecord {
  return { ...task, given: true, endBy: now + TASK_TIMEOUTS_MS[task.kind] };
}

/** The host is empty: its agent may begin. */
export async function giveTask(changes: Changes, hostId: string, taskId: string): Promise<void> {
  const row = await findHost(changes.tx, hostId);
  const task = row === undefined ? undefined : taskOf(row);
  if (row === undefined || task?.id !== taskId || task.given) return;
  await setHostTask(changes.tx, hostId, given(task, changes.now));
  await changes.event('host', row.name, `${task.kind}-given`, task.reason);
  changes.host(hostId);
}

/** Takes in how a task went; what is not of the task the host has is old. */
export async function endTask(
  changes: Changes,
  hostId: string,
  { id, state, detail }: ObservedTask,
): Promise<void> {
  if (state === 'running') return;
  const { tx, event, host } = changes;
  const row = await findHost(tx, hostId);
  const task = row === undefined ? undefined : taskOf(row);
  if (row === undefined || task?.id !== id) return;
  await setHostTask(tx, hostId, undefined);
  const said = detail ?? task.reason;
  if (state === 'done') await event('host', row.name, `${task.kind}-done`, said);
  else await event('host', row.name, 'task-failed', `${task.kind}: ${said}`);
  host(hostId);
  await rolloutTaskEnded(changes, hostId, task.of, { state, detail });
  if (state === 'failed' && task.of === QUARANTINE && row.state === 'quarantined') {
    const reason = `it could not ${TASK_WORDS[task.kind]}: ${detail ?? 'no reason given'}`;
    await quarantine(changes, { ...row, task: null }, rung(reason, row.strikes, repairs(row)));
  }
}

/** Nobody waits for it any more. */
export async function callOff({ tx, event, host }: Changes, row: HostRow): Promise<void> {
  const task = taskOf(row);
  if (task === undefined) return;
  await setHostTask(tx, row.id, undefined);
  await event('host', row.name, `${task.kind}-called-off`, 'by hand');
  host(row.id);
}

export function repairs(row: HostRow): HostTaskKind[] {
  return repairsOf(factsOf(row)?.tasks ?? []);
}

/** Leaves a host alone, for a while or until a person has looked, and has it try to mend itself. */
export async function quarantine(
  changes: Changes,
  row: HostRow,
  { ms, repair, reason }: Quarantine,
): Promise<void> {
  const { tx, now, event } = changes;
  const quarantinedUntil = ms === undefined ? undefined : now + ms;
  await setHostState(tx, row.id, { state: 'quarantined', reason, quarantinedUntil });
  await setHostStrikes(tx, row.id, row.strikes + 1);
  await event('host', row.name, 'quarantined', reason);
  if (ms === undefined) await event('host', row.name, 'needs-person', reason);
  if (repair === undefined || taskOf(row) !== undefined) return;
  await put(changes, row, { kind: repair, reason: 'it is quarantined', of: QUARANTINE });
}
