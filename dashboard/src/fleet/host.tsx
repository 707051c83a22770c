import { useState } from 'react';
import { Link, useParams } from '@tanstack/react-router';
import { useHost, useLiveStatus, useWorkersOf } from '../api/live.ts';
import { useMay } from '../api/session.ts';
import { bytes } from '../ui/amounts.ts';
import { Figure } from '../ui/figure.tsx';
import { Badge, Empty, Heading, Loading } from '../ui/parts.tsx';
import { Ago } from '../ui/time.tsx';
import { WorkerTable } from '../workers/worker-table.tsx';
import { HOST_ACTS, whyNot, type HostAct } from './acts.ts';
import { ConfirmAct } from './confirm.tsx';
import { hostState } from './look.ts';

/** One host: what it is, what is wrong with it, what runs there. */
export function Host() {
  const { name } = useParams({ from: '/frame/hosts/$name' });
  const host = useHost(name);
  const workers = useWorkersOf(name);
  const status = useLiveStatus();
  const mayAct = useMay('operator');
  const isAdmin = useMay('admin');
  const [act, setAct] = useState<HostAct>();
  if (host === undefined) {
    if (status === 'connecting') return <Loading what="the host" />;
    return (
      <Empty title={`There is no host ${name}`}>
        <p>It was removed, or never joined.</p>
        <Link to="/" className="button">
          Go to the fleet
        </Link>
      </Empty>
    );
  }
  const { tone, word } = hostState(host);
  return (
    <>
      <Heading
        title={name}
        lead={
          <>
            <Badge tone={tone}>{word}</Badge> {host.stateReason}
            {host.quarantinedUntil !== undefined && (
              <>
                {' '}
                It is tried again <Ago at={host.quarantinedUntil} />.
              </>
            )}
            {host.drainBy !== undefined && (
              <>
                {' '}
                What still runs is ended <Ago at={host.drainBy} />.
              </>
            )}
          </>
        }
      >
        {mayAct &&
          HOST_ACTS.filter(({ role }) => isAdmin || role === 'operator').map((each) => (
            <button
              key={each.id}
              type="button"
              title={whyNot(each, host)}
              disabled={whyNot(each, host) !== undefined}
              onClick={() => setAct(each)}
            >
              {each.name}
            </button>
          ))}
      </Heading>
      {act !== undefined && <ConfirmAct act={act} hosts={[host]} close={() => setAct(undefined)} />}
      {[...host.alarms].map((text) => (
        <p key={text} className="failed" role="alert">
          {text}
        </p>
      ))}
      {host.drift.map((text) => (
        <p key={text} className="note">
          {text}
        </p>
      ))}
      <dl className="figures">
        <Figure name="System">{`${host.os ?? 'unknown'} ${host.arch ?? ''}`}</Figure>
        <Figure name="Processors">{host.cpus ?? '?'}</Figure>
        <Figure name="Memory">
          {host.memoryBytes === undefined ? '?' : bytes(host.memoryBytes)}
        </Figure>
        <Figure name="Disk free">
          {host.diskFreeGib === undefined ? '?' : `${host.diskFreeGib} GiB`}
        </Figure>
        <Figure name="Places">{host.slots}</Figure>
        <Figure name="Agent">{host.agentVersion ?? '?'}</Figure>
        {host.lastSeenAt !== undefined && (
          <Figure name="Last heard of">{<Ago at={host.lastSeenAt} />}</Figure>
        )}
        {host.endsAt !== undefined && (
          <Figure name="Its rent ends">{<Ago at={host.endsAt} />}</Figure>
        )}
      </dl>
      <p>
        <span className="soft">Labels:</span> {host.labels.join(', ') || 'none'}
        <br />
        <span className="soft">Images:</span> {host.images.join(', ') || 'none'}
      </p>
      <section aria-labelledby="workers" className="card">
        <h2 id="workers">Workers</h2>
        {workers.length === 0 ? (
          <p className="soft">None now.</p>
        ) : (
          <WorkerTable workers={workers} host={false} />
        )}
        <p>
          <Link to="/jobs" search={{ host: name }}>
            Jobs that ran on {name}
          </Link>
        </p>
      </section>
    </>
  );
}
