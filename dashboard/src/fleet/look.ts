import type { LiveHost, LiveJob, WorkerView } from '../api/live-store.ts';
import type { Tone } from '../ui/parts.tsx';

/** How things of the fleet look at a glance. Pure. */

export function hostState({ state, online, task }: LiveHost): {
  readonly tone: Tone;
  readonly word: string;
} {
  if (task?.given === true) return { tone: 'busy', word: TASK_WORDS[task.kind] };
  if (!online) return { tone: 'bad', word: 'offline' };
  if (state === 'quarantined') return { tone: 'bad', word: state };
  if (state === 'active') return { tone: 'good', word: state };
  return { tone: 'wait', word: state };
}

const TASK_WORDS: Readonly<Record<NonNullable<LiveHost['task']>['kind'], string>> = {
  restart: 'restarting',
  clean: 'cleaning up',
  reboot: 'rebooting',
  reimage: 'reinstalling',
  update: 'updating',
  configure: 'taking settings',
};

const PREPARING = new Set(['requested', 'fetching', 'cloning', 'booting']);

export function slotOf({ state }: WorkerView): 'running' | 'ready' | 'preparing' | 'failed' {
  if (state === 'failed') return 'failed';
  if (state === 'ready') return 'ready';
  return PREPARING.has(state) ? 'preparing' : 'running';
}

export function workerTone({ state }: Pick<WorkerView, 'state'>): Tone {
  if (state === 'failed') return 'bad';
  if (state === 'ready') return 'good';
  if (state === 'running' || state === 'finishing') return 'busy';
  return PREPARING.has(state) ? 'wait' : 'off';
}

export function jobState(job: Pick<LiveJob, 'state' | 'outcome' | 'cancelRequested'>): {
  readonly tone: Tone;
  readonly word: string;
} {
  if (job.outcome !== undefined) {
    const tones: Record<NonNullable<LiveJob['outcome']>, Tone> = {
      ...{ succeeded: 'good', failed: 'bad', 'timed-out': 'bad', lost: 'bad', cancelled: 'off' },
    };
    return { tone: tones[job.outcome], word: job.outcome };
  }
  if (job.cancelRequested) return { tone: 'wait', word: 'cancelling' };
  if (job.state === 'queued') return { tone: 'wait', word: 'queued' };
  return { tone: 'busy', word: job.state === 'assigned' ? 'starting' : 'running' };
}

export interface FleetFilter {
  readonly q?: string;
  readonly state?: string;
  readonly image?: string;
  readonly trouble?: string;
}

/** Hosts that a filter shows. The text is looked for in names, labels, systems and troubles. */
export function filterHosts(hosts: readonly LiveHost[], filter: FleetFilter): readonly LiveHost[] {
  const words = (filter.q ?? '')
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
  const { state, image, trouble } = filter;
  if (words.length === 0 && state === undefined && image === undefined && trouble === undefined)
    return hosts;
  return hosts.filter((host) => {
    if (state !== undefined && hostState(host).word !== state && host.state !== state) return false;
    if (image !== undefined && !host.images.includes(image)) return false;
    if (trouble === 'alarms' && host.alarms.length === 0) return false;
    if (trouble === 'drift' && host.drift.length === 0) return false;
    if (words.length === 0) return true;
    const text = [host.name, ...host.labels, host.os ?? '', ...host.alarms, ...host.drift]
      .join(' ')
      .toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

export interface HostGroup {
  readonly name: string;
  readonly hosts: readonly LiveHost[];
}

/** Hosts by what they are grouped by: `state`, `os`, `label:NAME=`, or nothing. */
export function groupHosts(
  hosts: readonly LiveHost[],
  by: string | undefined,
): readonly HostGroup[] {
  if (by === undefined) return [{ name: '', hosts }];
  const groups = new Map<string, LiveHost[]>();
  for (const host of hosts) {
    const name = groupOf(host, by);
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [host]);
    else group.push(host);
  }
  return [...groups]
    .map(([name, those]) => ({ name, hosts: those }))
    .toSorted((a, b) => a.name.localeCompare(b.name));
}

function groupOf(host: LiveHost, by: string): string {
  if (by === 'state') return hostState(host).word;
  if (by === 'os') return host.os ?? 'unknown system';
  if (by === 'agent') return host.agentVersion ?? 'unknown agent';
  const label = host.labels.find((each) => each.startsWith(`${by}=`));
  return label === undefined ? `no ${by}` : label;
}

/** Keys of labels such as `rack=3`, by which hosts can be grouped. */
export function groupKeys(hosts: readonly LiveHost[]): string[] {
  const keys = new Set<string>();
  for (const { labels } of hosts) {
    for (const label of labels) {
      const at = label.indexOf('=');
      if (at > 0) keys.add(label.slice(0, at));
    }
  }
  return [...keys].toSorted();
}
