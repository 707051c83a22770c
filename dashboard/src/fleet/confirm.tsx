import { useState } from 'react';
import { messageOf } from '../api/client.ts';
import { live } from '../api/live.ts';
import type { LiveHost } from '../api/live-store.ts';
import { count } from '../ui/amounts.ts';
import { Dialog } from '../ui/dialog.tsx';
import { toast } from '../ui/toasts.tsx';
import { actOn, actOnAll, whyNot, type HostAct } from './acts.ts';
import { slotOf } from './look.ts';

const NAMED = 8;

/** Says what will happen, to which hosts and to which jobs, before it does. */
export function ConfirmAct({
  act,
  hosts,
  close,
}: {
  readonly act: HostAct;
  readonly hosts: readonly LiveHost[];
  readonly close: () => void;
}) {
  const [done, setDone] = useState<number>();
  const able = hosts.filter((host) => whyNot(act, host) === undefined);
  const unable = hosts.filter((host) => whyNot(act, host) !== undefined);
  const running = able
    .flatMap(({ name }) => live.workersOf(name))
    .filter((worker) => slotOf(worker) === 'running');
  const run = async (form: FormData) => {
    const minutes = String(form.get('within') ?? '');
    const within = minutes === '' ? undefined : Math.round(Number(minutes) * 60_000);
    const reason = String(form.get('reason') ?? '');
    const failed = await actOnAll(
      able.map(({ name }) => name),
      (name) => actOn(act, name, { within, reason }),
      setDone,
    );
    const good = able.length - failed.length;
    if (good > 0) toast('good', `${act.name}: asked of ${count(good, 'host')}.`);
    for (const { name, error } of failed.slice(0, 3))
      toast('bad', `${act.name} of ${name} failed: ${messageOf(error)}`);
    if (failed.length > 3)
      toast('bad', `${act.name}: ${count(failed.length - 3, 'more host')} failed, too.`);
  };
  return (
    <Dialog
      title={`${act.name} ${hosts.length === 1 ? (hosts[0]?.name ?? '') : count(hosts.length, 'host')}?`}
      button={done === undefined ? act.name : `${act.name} (${done} of ${able.length})`}
      danger={act.danger}
      act={run}
      close={close}
    >
      <p>
        <strong>{count(running.length, 'running job')}</strong>{' '}
        {running.length === 1 ? 'is' : 'are'} on {able.length === 1 ? 'this host' : 'these hosts'}{' '}
        now. {act.jobs}
      </p>
      {hosts.length > 1 && (
        <p className="soft">
          {able
            .slice(0, NAMED)
            .map(({ name }) => name)
            .join(', ')}
          {able.length > NAMED && ` and ${able.length - NAMED} more`}
        </p>
      )}
      {unable.length > 0 && (
        <p className="note">
          Left out:{' '}
          {unable
            .slice(0, NAMED)
            .map((host) => `${host.name} (${whyNot(act, host)})`)
            .join(', ')}
          {unable.length > NAMED && ` and ${unable.length - NAMED} more`}
        </p>
      )}
      {act.within && (
        <label>
          End jobs that still run after this many minutes (empty: wait for them however long)
          <input name="within" type="number" min="0" step="1" inputMode="numeric" />
        </label>
      )}
      {act.id === 'quarantine' && (
        <label>
          What is wrong
          <input name="reason" maxLength={500} placeholder="by hand" />
        </label>
      )}
    </Dialog>
  );
}
