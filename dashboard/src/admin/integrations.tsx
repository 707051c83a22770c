import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import type { IntegrationView } from '../../../src/protocol/api/ci-resources.ts';
import { call } from '../api/client.ts';
import { integrations as integrationsQuery, useAction } from '../api/queries.ts';
import { useMay } from '../api/session.ts';
import { Figure } from '../ui/figure.tsx';
import { Answer, Badge, Copyable, Empty, Table, type Tone } from '../ui/parts.tsx';
import { Ago, span } from '../ui/time.tsx';

const TONES: Readonly<Record<IntegrationView['state'], Tone>> = {
  ...{ ok: 'good', starting: 'busy', failing: 'bad', paused: 'wait' },
};

/** The CI systems whose jobs run here, and how they are. */
export function Integrations() {
  const integrations = useQuery(integrationsQuery);
  return (
    <Answer of={integrations} what="the integrations">
      {({ items }) =>
        items.length === 0 ? (
          <Empty title="No CI system is connected">
            <p>Name one in pomona.yaml, and start the controller again:</p>
            <Copyable
              label="Configuration of an integration"
              text={
                'integrations:\n  - name: github\n    kind: github\n    organization: acme\n    token: GITHUB_TOKEN   # pomona secret set GITHUB_TOKEN'
              }
            />
          </Empty>
        ) : (
          <div className="cards">
            {items.map((each) => (
              <Integration key={each.name} integration={each} />
            ))}
          </div>
        )
      }
    </Answer>
  );
}

function Integration({ integration: each }: { readonly integration: IntegrationView }) {
  const may = useMay('operator');
  const params = { name: each.name };
  const stale = ['integrations'];
  const pause = useAction(() => call('pauseCi', 'POST', '/ci/{name}/pause', { params }), { stale });
  const resume = useAction(() => call('resumeCi', 'POST', '/ci/{name}/resume', { params }), {
    stale,
  });
  const [checks, setChecks] =
    useState<readonly { readonly what: string; readonly ok: boolean; readonly detail: string }[]>();
  const check = useAction(async () =>
    setChecks((await call('checkCi', 'POST', '/ci/{name}/check', { params })).items),
  );
  const { runners, jobs } = each;
  return (
    <section className="card" aria-label={`Integration ${each.name}`}>
      <h2>
        {each.name} <Badge tone={TONES[each.state]}>{each.state}</Badge>
      </h2>
      <p className="soft">
        {each.kind} at {each.location}
      </p>
      {each.reason !== undefined && (
        <p className={each.state === 'failing' ? 'failed' : 'note'}>{each.reason}</p>
      )}
      <dl className="figures small">
        <Figure name="Jobs waiting">{String(jobs.queued)}</Figure>
        <Figure name="running">{String(jobs.running)}</Figure>
        <Figure name="that no pool takes">{String(jobs.unroutable)}</Figure>
        <Figure name="Runners idle">{String(runners.idle)}</Figure>
        <Figure name="starting">{String(runners.waiting + runners.starting)}</Figure>
        <Figure name="busy">{String(runners.busy)}</Figure>
        {each.startMs !== undefined && (
          <Figure name="Event to start, p50">{span(each.startMs.p50)}</Figure>
        )}
        {each.startMs !== undefined && <Figure name="p95">{span(each.startMs.p95)}</Figure>}
        {each.budget !== undefined && (
          <Figure name="Questions left">{`${each.budget.remaining} of ${each.budget.limit}`}</Figure>
        )}
      </dl>
      <p>
        <span className="soft">Last looked: </span>
        {each.lastLookAt === undefined ? 'not yet' : <Ago at={each.lastLookAt} />}
        <br />
        <span className="soft">Last event: </span>
        {each.lastEvent === undefined ? (
          'none'
        ) : (
          <>
            {each.lastEvent.what}, <Ago at={each.lastEvent.at} />
          </>
        )}
        <br />
        <span className="soft">Last error: </span>
        {each.lastError === undefined ? (
          'none'
        ) : (
          <>
            {each.lastError.what}: {each.lastError.message}, <Ago at={each.lastError.at} />
          </>
        )}
      </p>
      {each.webhook !== undefined && (
        <Copyable label="Address of its webhook" text={location.origin + each.webhook} />
      )}
      {may && (
        <div className="actions">
          {each.state === 'paused' ? (
            <button
              type="button"
              disabled={resume.isPending}
              onClick={() => resume.mutate(undefined)}
            >
              Resume
            </button>
          ) : (
            <button
              type="button"
              disabled={pause.isPending}
              onClick={() => pause.mutate(undefined)}
            >
              Pause
            </button>
          )}
          <button type="button" disabled={check.isPending} onClick={() => check.mutate(undefined)}>
            Check it
          </button>
        </div>
      )}
      {checks !== undefined && (
        <Table
          label={`Checks of ${each.name}`}
          rows={checks}
          keyOf={({ what }) => what}
          columns={[
            { title: 'What', cell: ({ what }) => what },
            {
              title: '',
              cell: ({ ok }) => <Badge tone={ok ? 'good' : 'bad'}>{ok ? 'works' : 'fails'}</Badge>,
            },
            { title: 'Detail', cell: ({ detail }) => detail },
          ]}
        />
      )}
    </section>
  );
}
