import { lazy, Suspense, useEffect, useState } from 'react';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import type { JobView } from '../../../src/protocol/api/resources.ts';
import type { Timeline } from '../../../src/protocol/api/history-resources.ts';
import { API, call } from '../api/client.ts';
import { useLiveJob } from '../api/live.ts';
import {
  job as jobQuery,
  timeline as timelineQuery,
  useAction,
  why as whyQuery,
} from '../api/queries.ts';
import { useMay } from '../api/session.ts';
import { jobState } from '../fleet/look.ts';
import { bytes } from '../ui/amounts.ts';
import { Dialog } from '../ui/dialog.tsx';
import { Figure } from '../ui/figure.tsx';
import { Answer, Badge, Heading, Loading, Table } from '../ui/parts.tsx';
import { Ago, span } from '../ui/time.tsx';
import { LookInside } from '../workers/look-inside.tsx';
import { TimeLine } from './time-line.tsx';

const Log = lazy(() => import('../log/log.tsx'));
const Steps = lazy(() => import('../builds/steps.tsx'));

const HOUR_MS = 3_600_000;

/** One job: what it waits for, what happened to it, what it prints. */
export function Job() {
  const { id } = useParams({ from: '/frame/jobs/$id' });
  const row = useLiveJob(id);
  const client = useQueryClient();
  const job = useQuery(jobQuery(id));
  const timeline = useQuery(timelineQuery(id));
  // What the stream says of it is news for what was asked.
  useEffect(() => {
    void client.invalidateQueries({ queryKey: ['job', id] });
    void client.invalidateQueries({ queryKey: ['timeline', id] });
  }, [client, id, row]);
  return (
    <Answer of={job} what="the job">
      {(data) => <JobPage job={data} timeline={timeline.data} />}
    </Answer>
  );
}

function JobPage({
  job,
  timeline,
}: {
  readonly job: JobView;
  readonly timeline: Timeline | undefined;
}) {
  const { tone, word } = jobState(job);
  const ended = job.finishedAt !== undefined;
  return (
    <>
      <Heading
        title={job.title ?? job.command.join(' ')}
        lead={
          <>
            <Badge tone={tone}>{word}</Badge> <span className="mono">{job.id}</span>{' '}
            {ended && job.reason}
          </>
        }
      >
        <Acts job={job} timeline={timeline} />
      </Heading>
      {job.state === 'queued' && <Waiting id={job.id} />}
      <dl className="figures small">
        <Figure name="Pool">
          {(job.ranIn ?? job.pool) === undefined ? (
            job.labels.join(', ') || 'any'
          ) : (
            <Link to="/pools/$name" params={{ name: job.ranIn ?? job.pool ?? '' }}>
              {job.ranIn ?? job.pool}
            </Link>
          )}
        </Figure>
        {job.hostName !== undefined && (
          <Figure name="Host">
            <Link to="/hosts/$name" params={{ name: job.hostName }}>
              {job.hostName}
            </Link>
          </Figure>
        )}
        <Figure name="Submitted">
          <Ago at={job.submittedAt} />
        </Figure>
        {job.assignedAt !== undefined && (
          <Figure name="Waited">
            {span(job.assignedAt - job.submittedAt)}
            {job.warm === true && ' (a worker was ready)'}
          </Figure>
        )}
        {job.startedAt !== undefined && job.finishedAt !== undefined && (
          <Figure name="Ran">{span(job.finishedAt - job.startedAt)}</Figure>
        )}
        {job.exitCode !== undefined && <Figure name="Exit code">{job.exitCode}</Figure>}
        {job.team !== undefined && <Figure name="Team">{job.team}</Figure>}
        {job.epoch > 1 && <Figure name="Handed over">{job.epoch} times</Figure>}
        {timeline?.ci !== undefined && (
          <Figure name={`In ${timeline.ci.integration}`}>
            {timeline.ci.url === undefined ? (
              (timeline.ci.title ?? 'it has no job yet')
            ) : (
              <a href={timeline.ci.url} target="_blank" rel="noreferrer">
                {timeline.ci.title ?? timeline.ci.url}
              </a>
            )}
          </Figure>
        )}
      </dl>
      <details>
        <summary>Command</summary>
        <pre tabIndex={0} aria-label="Command">
          {job.command.join(' ')}
        </pre>
      </details>
      {timeline?.worker !== undefined && timeline.worker.consoles.length > 0 && (
        <p className="note actions">
          {timeline.worker.keptUntil === undefined ? (
            'Its worker can be looked into while it runs.'
          ) : (
            <span>
              Its worker is kept; it goes <Ago at={timeline.worker.keptUntil} />.
            </span>
          )}
          <LookInside worker={timeline.worker} />
        </p>
      )}
      <section className="card" aria-labelledby="time-line">
        <h2 id="time-line">Time line</h2>
        {timeline === undefined ? (
          <Loading what="the time line" />
        ) : (
          <TimeLine job={job} timeline={timeline} />
        )}
      </section>
      {job.artifacts.length > 0 && <Artifacts job={job} />}
      {job.isBuild && job.epoch > 0 && (
        <section className="card" aria-labelledby="steps">
          <h2 id="steps">Steps</h2>
          <Suspense fallback={<Loading what="the steps" />}>
            <Steps key={job.epoch} job={job} />
          </Suspense>
        </section>
      )}
      <section aria-labelledby="log">
        <h2 id="log">Log</h2>
        {job.epoch === 0 ? (
          <p className="soft">There is none before the job has a worker.</p>
        ) : (
          <Suspense fallback={<Loading what="the log" />}>
            <Log key={`${job.id} ${job.epoch}`} jobId={job.id} epoch={job.epoch} ended={ended} />
          </Suspense>
        )}
      </section>
    </>
  );
}

/** The straight answer to "why is my job waiting?". */
function Waiting({ id }: { readonly id: string }) {
  const { data } = useQuery(whyQuery(id));
  if (data === undefined) return null;
  return (
    <section className="card" aria-labelledby="why">
      <h2 id="why">Why it waits</h2>
      <p>
        {data.summary}{' '}
        {data.ahead > 0 && `${data.ahead} ${data.ahead === 1 ? 'job goes' : 'jobs go'} first.`}
      </p>
      {data.pools.map((pool) => (
        <details key={pool.pool}>
          <summary>
            Pool {pool.pool}: {pool.reason}
          </summary>
          <Table
            label={`Hosts for pool ${pool.pool}`}
            keyOf={({ host }) => host}
            rows={pool.hosts}
            columns={[
              { title: 'Host', cell: ({ host }) => host },
              { title: 'Why', cell: ({ reason }) => reason },
            ]}
          />
        </details>
      ))}
    </section>
  );
}

function Acts({
  job,
  timeline,
}: {
  readonly job: JobView;
  readonly timeline: Timeline | undefined;
}) {
  const maySubmit = useMay('submitter');
  const mayKeep = useMay('operator');
  const navigate = useNavigate();
  const [asking, setAsking] = useState<'cancel' | 'keep'>();
  const params = { id: job.id };
  const stale = ['job', 'timeline'];
  const retry = useAction(
    async () => {
      const made = await call('retryJob', 'POST', '/jobs/{id}/retry', { params });
      await navigate({ to: '/jobs/$id', params: { id: made.id } });
    },
    { done: () => 'It was submitted again, as a job of its own.' },
  );
  const release = useAction(
    () => call('keepJob', 'POST', '/jobs/{id}/keep', { params, body: { forMs: 0 } }),
    {
      ...{ done: () => 'Its worker goes now.', stale },
    },
  );
  const keep = useAction(
    (forMs: number) => call('keepJob', 'POST', '/jobs/{id}/keep', { params, body: { forMs } }),
    {
      ...{ done: () => 'Its worker is kept.', stale },
    },
  );
  const cancel = useAction(() => call('cancelJob', 'POST', '/jobs/{id}/cancel', { params }), {
    stale,
  });
  const ended = job.state === 'finished';
  const isKept = timeline?.worker?.keptUntil !== undefined;
  return (
    <>
      {maySubmit && ended && job.integration === undefined && (
        <button type="button" disabled={retry.isPending} onClick={() => retry.mutate(undefined)}>
          Run again
        </button>
      )}
      {mayKeep && (!ended || isKept) && (
        <button type="button" onClick={() => setAsking('keep')}>
          {timeline?.keepMs === undefined ? 'Keep the worker' : 'Keep for another time'}
        </button>
      )}
      {mayKeep && timeline?.keepMs !== undefined && (!ended || isKept) && (
        <button type="button" onClick={() => release.mutate(undefined)}>
          Let the worker go
        </button>
      )}
      {maySubmit && !ended && (
        <button
          type="button"
          className="danger"
          disabled={job.cancelRequested}
          onClick={() => setAsking('cancel')}
        >
          Cancel
        </button>
      )}
      {asking === 'cancel' && (
        <Dialog
          title="Cancel this job?"
          button="Cancel the job"
          danger
          act={() => cancel.mutateAsync(undefined)}
          close={() => setAsking(undefined)}
        >
          <p>
            {job.state === 'queued'
              ? 'It has not started; it will not.'
              : 'Its command is asked to end, and then ended. Its log and artifacts are kept.'}
          </p>
        </Dialog>
      )}
      {asking === 'keep' && (
        <Dialog
          title="Keep its worker?"
          button="Keep it"
          act={(form) => keep.mutateAsync(Number(form.get('hours')) * HOUR_MS)}
          close={() => setAsking(undefined)}
        >
          <p>
            When the job has ended, its worker stays as the job left it, so that you can look into
            it. It takes a place of its host meanwhile.
          </p>
          <label>
            Hours
            <input
              name="hours"
              type="number"
              min="0.1"
              max="168"
              step="any"
              defaultValue="1"
              required
            />
          </label>
        </Dialog>
      )}
    </>
  );
}

function Artifacts({ job }: { readonly job: JobView }) {
  return (
    <section className="card" aria-labelledby="artifacts">
      <h2 id="artifacts">Artifacts</h2>
      <Table
        label="Artifacts"
        keyOf={({ path }) => path}
        rows={job.artifacts}
        columns={[
          {
            title: 'File',
            cell: ({ path }) => (
              <a
                href={`${API}/jobs/${job.id}/artifacts/content?path=${encodeURIComponent(path)}`}
                download
              >
                {path}
              </a>
            ),
          },
          { title: 'Size', cell: ({ size }) => bytes(size), number: true },
          {
            title: 'SHA-256',
            cell: ({ sha256 }) => <span className="mono">{sha256.slice(0, 16)}</span>,
          },
        ]}
      />
    </section>
  );
}
