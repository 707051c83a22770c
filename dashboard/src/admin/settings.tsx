import { useState } from 'react';
import { useQuery } from '@tanstack/react-query';
import type { HostRolloutView } from '../../../src/protocol/api/host-resources.ts';
import { ApiError, call } from '../api/client.ts';
import { hostRollouts, useAction } from '../api/queries.ts';
import { useMay } from '../api/session.ts';
import { Dialog } from '../ui/dialog.tsx';
import { Answer, Badge, Empty, Table, type Tone } from '../ui/parts.tsx';
import { Ago } from '../ui/time.tsx';

const TONES: Readonly<Record<HostRolloutView['state'], Tone>> = {
  ...{ running: 'busy', paused: 'wait', done: 'good', back: 'bad' },
};
const HOST_TONES: Readonly<Record<HostRolloutView['hosts'][number]['state'], Tone>> = {
  ...{
    waiting: 'off',
    doing: 'busy',
    done: 'good',
    failed: 'bad',
    returning: 'wait',
    returned: 'wait',
  },
};

type Move = 'pause' | 'resume' | 'promote' | 'back';
const MOVES: Readonly<Record<HostRolloutView['state'], readonly (readonly [Move, string])[]>> = {
  running: [
    ['pause', 'Pause'],
    ['promote', 'To all now'],
    ['back', 'Go back'],
  ],
  paused: [
    ['resume', 'Go on'],
    ['back', 'Go back'],
  ],
  done: [['back', 'Go back']],
  back: [],
};

/** Versions of agents and settings of hosts, brought to them ring by ring. */
export function Settings() {
  const rollouts = useQuery(hostRollouts);
  const may = useMay('admin');
  const [asking, setAsking] = useState<'agent' | 'settings'>();
  return (
    <>
      {may && (
        <div className="actions">
          <button type="button" onClick={() => setAsking('settings')}>
            Roll out settings
          </button>
          <button type="button" onClick={() => setAsking('agent')}>
            Roll out an agent
          </button>
        </div>
      )}
      <Answer of={rollouts} what="the roll-outs">
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="Nothing was rolled out to the hosts">
              <p>
                Settings such as labels and places of hosts, and versions of their agents, go to a
                few hosts first; a ring that fails takes itself back.
              </p>
            </Empty>
          ) : (
            <div className="cards wide">
              {items.map((each) => (
                <HostRollout key={each.what} rollout={each} />
              ))}
            </div>
          )
        }
      </Answer>
      {asking !== undefined && <Start what={asking} close={() => setAsking(undefined)} />}
    </>
  );
}

function HostRollout({ rollout: each }: { readonly rollout: HostRolloutView }) {
  const may = useMay('admin');
  const move = useAction(
    (to: Move) =>
      call('moveHostRollout', 'POST', '/host-rollouts/{what}/moves', {
        params: { what: each.what },
        body: { move: to },
      }),
    { stale: ['host-rollouts'] },
  );
  return (
    <section className="card" aria-label={`Roll-out of ${each.what}`}>
      <h2>
        {each.what} <Badge tone={TONES[each.state]}>{each.state}</Badge>
      </h2>
      <code>{each.value}</code>
      <p>
        Ring {each.ring + 1} of {each.rings.length} ({each.rings.join(', ')} %), begun{' '}
        <Ago at={each.startedAt} />.
        {each.labels.length > 0 && ` Hosts with ${each.labels.join(', ')}.`}
      </p>
      {each.reason !== undefined && <p className="note">{each.reason}</p>}
      <Table
        label={`Hosts of the roll-out of ${each.what}`}
        rows={each.hosts.slice(0, 100)}
        keyOf={({ name }) => name}
        columns={[
          { title: 'Host', cell: ({ name }) => name },
          { title: 'State', cell: ({ state }) => <Badge tone={HOST_TONES[state]}>{state}</Badge> },
          { title: 'Has', cell: ({ has }) => has },
          { title: 'Detail', cell: ({ detail }) => detail },
        ]}
      />
      {may && (
        <div className="actions">
          {MOVES[each.state].map(([to, name]) => (
            <button
              key={to}
              type="button"
              className={to === 'back' ? 'danger' : ''}
              disabled={move.isPending}
              onClick={() => move.mutate(to)}
            >
              {name}
            </button>
          ))}
        </div>
      )}
    </section>
  );
}

function Start({
  what,
  close,
}: {
  readonly what: 'agent' | 'settings';
  readonly close: () => void;
}) {
  const [errors, setErrors] = useState<
    readonly { readonly path: string; readonly message: string }[]
  >([]);
  const start = useAction(
    async (form: FormData) => {
      setErrors([]);
      const list = (name: string) =>
        String(form.get(name) ?? '')
          .split(',')
          .map((each) => each.trim())
          .filter((each) => each !== '');
      const labels = list('labels');
      const common = {
        rings: list('rings').map(Number),
        ...(labels.length === 0 ? {} : { labels }),
      };
      const body =
        what === 'agent'
          ? { ...common, version: String(form.get('version')) }
          : { ...common, settings: settingsOf(String(form.get('settings'))) };
      try {
        await call('startHostRollout', 'POST', '/host-rollouts/{what}', { params: { what }, body });
      } catch (error) {
        if (error instanceof ApiError) setErrors(error.problem?.errors ?? []);
        throw error;
      }
    },
    { done: () => 'The roll-out has begun.', stale: ['host-rollouts'] },
  );
  return (
    <Dialog
      title={what === 'agent' ? 'Roll out an agent' : 'Roll out settings'}
      button="Begin"
      act={(form) => start.mutateAsync(form)}
      close={close}
    >
      {what === 'agent' ? (
        <label>
          Version
          <input name="version" required placeholder="1.4.0" pattern="\d+\.\d+\.\d+.*" />
        </label>
      ) : (
        <div className="field">
          <label htmlFor="host-settings">
            Settings, as JSON; they take the place of those rolled out before
          </label>
          <textarea
            id="host-settings"
            name="settings"
            spellCheck={false}
            defaultValue={'{\n  "labels": ["rack=1"]\n}'}
            aria-describedby="settings-errors"
            aria-invalid={errors.length > 0}
          />
        </div>
      )}
      <ul id="settings-errors">
        {errors.map(({ path, message }) => (
          <li key={`${path} ${message}`}>
            <code>{path}</code>: {message}
          </li>
        ))}
      </ul>
      <label>
        Rings: share of the hosts after each, in per cent
        <input name="rings" defaultValue="1, 10, 50" pattern="[0-9., ]+" required />
      </label>
      <label>
        Only hosts with these labels (empty: all)
        <input name="labels" placeholder="rack=1, macos" />
      </label>
    </Dialog>
  );
}

function settingsOf(text: string): object {
  try {
    return JSON.parse(text) as object;
  } catch (error) {
    throw new Error(`That is not JSON: ${(error as Error).message}`);
  }
}
