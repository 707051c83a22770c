import { call } from '../api/client.ts';
import type { LiveHost } from '../api/live-store.ts';
import type { Role } from '../../../src/protocol/api/resources.ts';

/** What people do with hosts. */

export interface HostAct {
  readonly id:
    'drain' | 'resume' | 'cordon' | 'quarantine' | 'restart' | 'clean' | 'reboot' | 'reimage';
  readonly name: string;
  readonly role: Role;
  readonly danger: boolean;
  /** What happens to jobs that run there, in a sentence. */
  readonly jobs: string;
  /** Running jobs can be given a time to end. */
  readonly within: boolean;
}

const WAITED_FOR = 'Jobs that run there end by themselves; nothing new starts.';
const THEN_BACK = 'Jobs that run there end by themselves before; then the host takes jobs again.';

export const HOST_ACTS: readonly HostAct[] = [
  { id: 'drain', name: 'Drain', role: 'operator', danger: false, jobs: WAITED_FOR, within: true },
  {
    id: 'resume',
    name: 'Resume',
    role: 'operator',
    danger: false,
    jobs: 'Nothing happens to running jobs; new ones start again.',
    within: false,
  },
  {
    id: 'cordon',
    name: 'Cordon',
    role: 'operator',
    danger: false,
    jobs: 'Jobs that run there go on, idle workers stay; no new worker is made.',
    within: false,
  },
  {
    id: 'quarantine',
    name: 'Quarantine',
    role: 'operator',
    danger: true,
    jobs: `${WAITED_FOR} It stays so until somebody resumes it.`,
    within: false,
  },
  {
    id: 'restart',
    name: 'Restart agent',
    role: 'admin',
    danger: false,
    jobs: 'Jobs that run there go on: the new agent takes them over.',
    within: false,
  },
  { id: 'clean', name: 'Clean up', role: 'admin', danger: false, jobs: THEN_BACK, within: true },
  { id: 'reboot', name: 'Reboot', role: 'admin', danger: true, jobs: THEN_BACK, within: true },
  {
    id: 'reimage',
    name: 'Install anew',
    role: 'admin',
    danger: true,
    jobs: `${THEN_BACK} Its disk is erased.`,
    within: true,
  },
];

export async function actOn(
  act: HostAct,
  name: string,
  {
    within,
    reason,
  }: { readonly within?: number | undefined; readonly reason?: string | undefined },
): Promise<void> {
  const params = { name };
  const query = within === undefined ? {} : { within };
  switch (act.id) {
    case 'drain':
      return void (await call('drainHost', 'POST', '/hosts/{name}/drain', { params, query }));
    case 'resume':
      return void (await call('resumeHost', 'POST', '/hosts/{name}/resume', { params }));
    case 'cordon':
      return void (await call('cordonHost', 'POST', '/hosts/{name}/cordon', { params }));
    case 'quarantine':
      return void (await call('quarantineHost', 'POST', '/hosts/{name}/quarantine', {
        ...{ params, body: reason === undefined || reason === '' ? {} : { reason } },
      }));
    case 'restart':
    case 'clean':
    case 'reboot':
    case 'reimage':
      return void (await call('askHost', 'POST', '/hosts/{name}/tasks', {
        ...{ params, body: { kind: act.id, ...query } },
      }));
  }
}

/** Why an act is not for a host; undefined: it is. */
export function whyNot(act: HostAct, host: LiveHost): string | undefined {
  const isTask =
    act.id === 'restart' || act.id === 'clean' || act.id === 'reboot' || act.id === 'reimage';
  if (isTask && !host.tasks.includes(act.id as LiveHost['tasks'][number]))
    return 'it cannot: its agent was given no command for it';
  if (isTask && host.task !== undefined) return 'it is asked for something else already';
  return undefined;
}

/** So many requests at once. */
const AT_ONCE = 8;

/** Does it for each; returns those that failed, each with what was said. */
export async function actOnAll(
  names: readonly string[],
  act: (name: string) => Promise<void>,
  progress: (done: number) => void,
): Promise<{ readonly name: string; readonly error: unknown }[]> {
  const failed: { name: string; error: unknown }[] = [];
  const waiting = [...names];
  let done = 0;
  const work = async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      try {
        await act(name);
      } catch (error) {
        failed.push({ name, error });
      }
      done += 1;
      progress(done);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, names.length) }, work));
  return failed;
}
