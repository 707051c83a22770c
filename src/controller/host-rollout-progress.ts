import { listHostRollouts, rolloutHosts, setRolloutHost } from '../db/queries/host-rollouts.ts';
import type { HostRolloutKind } from '../domain/host-rollout.ts';
import type { Changes } from './context.ts';

/** What tasks of a roll-out belong to. */
export function rolloutTask(what: HostRolloutKind): string {
  return `rollout ${what}`;
}

/** Takes in how the task of a roll-out went on a host. */
export async function rolloutTaskEnded(
  { tx, now }: Changes,
  hostId: string,
  of: string | undefined,
  { state, detail }: { readonly state: 'done' | 'failed'; readonly detail?: string | undefined },
): Promise<void> {
  const row = (await listHostRollouts(tx)).find(({ what }) => rolloutTask(what) === of);
  if (row === undefined) return;
  const { what } = row;
  const mine = (await rolloutHosts(tx, what)).find((each) => each.host_id === hostId);
  if (mine?.state !== 'doing' && mine?.state !== 'returning') return;
  const done = mine.state === 'returning' ? 'returned' : 'done';
  // One that could not go back is not asked for ever; its event says what is wrong.
  const failed = mine.state === 'returning' ? 'returned' : 'failed';
  await setRolloutHost(tx, { what, hostId, state: state === 'done' ? done : failed, detail, now });
}
