import { useState } from 'react';
import type { RolloutView } from '../../../src/protocol/api/resources.ts';
import { call } from '../api/client.ts';
import { useAction } from '../api/queries.ts';
import { useMay } from '../api/session.ts';
import { count, percent } from '../ui/amounts.ts';
import { Dialog } from '../ui/dialog.tsx';
import { Badge, Meter, Table, type Tone } from '../ui/parts.tsx';
import { Ago } from '../ui/time.tsx';

const TONES: Readonly<Record<RolloutView['state'], Tone>> = {
  ...{ running: 'busy', paused: 'wait', done: 'good', back: 'bad' },
};
const WORDS: Readonly<Record<RolloutView['state'], string>> = {
  ...{ running: 'going on', paused: 'paused', done: 'took over', back: 'taken back' },
};

export function RolloutState({ rollout }: { readonly rollout: RolloutView }) {
  return (
    <Badge tone={TONES[rollout.state]}>
      {WORDS[rollout.state]}
      {rollout.state === 'running' && ` at ${rollout.share} %`}
    </Badge>
  );
}

const MOVES = {
  ...{ pause: 'Pause', resume: 'Go on', promote: 'Let it take over now', back: 'Go back' },
} as const;
type Move = keyof typeof MOVES;

const OF_STATE: Readonly<Record<RolloutView['state'], readonly Move[]>> = {
  running: ['pause', 'promote', 'back'],
  paused: ['resume', 'promote', 'back'],
  done: ['back'],
  back: ['resume'],
};

/** A new image that takes over a pool: how far it is, and how its canaries do beside the old one. */
export function Rollout({ rollout }: { readonly rollout: RolloutView }) {
  const may = useMay('operator');
  const { pool } = rollout;
  const act = useAction(
    (move: Move) => {
      const params = { pool };
      switch (move) {
        case 'pause':
          return call('pauseRollout', 'POST', '/rollouts/{pool}/pause', { params });
        case 'resume':
          return call('resumeRollout', 'POST', '/rollouts/{pool}/resume', { params });
        case 'promote':
          return call('promoteRollout', 'POST', '/rollouts/{pool}/promote', { params });
        case 'back':
          return call('backRollout', 'POST', '/rollouts/{pool}/back', { params });
      }
    },
    { stale: ['rollouts', 'pools'] },
  );
  return (
    <section className="card" aria-labelledby="rollout">
      <h2 id="rollout">
        Roll-out of {rollout.to} <RolloutState rollout={rollout} />
      </h2>
      <p>
        It takes over from {rollout.from}, by stages of {rollout.stages.join(' %, ')} % and then
        all. {count(rollout.trials, 'job')} have to end on it in each stage;{' '}
        {count(rollout.hosts, 'host has', 'hosts have')} it. Begun <Ago at={rollout.startedAt} />.
      </p>
      {rollout.reason !== undefined && <p className="note">{rollout.reason}</p>}
      <Meter
        share={rollout.state === 'done' ? 1 : rollout.share / 100}
        label={`${rollout.share} % of new workers`}
      />
      <Table
        label="Old and new image side by side"
        keyOf={({ name }) => name}
        rows={[
          { name: `old: ${rollout.from}`, ...rollout.old },
          { name: `new: ${rollout.to}`, ...rollout.new },
        ]}
        columns={[
          { title: 'Image', cell: ({ name }) => name },
          { title: 'Workers made', cell: ({ made }) => made, number: true },
          {
            title: 'Workers failed',
            cell: ({ made, failed }) => share(failed, made),
            number: true,
          },
          { title: 'Jobs ended', cell: ({ jobs }) => jobs, number: true },
          {
            title: 'Jobs failed',
            cell: ({ jobs, jobsFailed }) => share(jobsFailed, jobs),
            number: true,
          },
        ]}
      />
      {may && (
        <div className="actions">
          {OF_STATE[rollout.state].map((move) => (
            <button
              key={move}
              type="button"
              className={move === 'back' ? 'danger' : ''}
              disabled={act.isPending}
              onClick={() => act.mutate(move)}
            >
              {MOVES[move]}
            </button>
          ))}
        </div>
      )}
    </section>
  );
}

function share(part: number, whole: number): string {
  return whole === 0 ? '0' : `${part} (${percent(part / whole)})`;
}

/** Begins one. */
export function StartRollout({
  pool,
  images,
}: {
  readonly pool: string;
  readonly images: readonly string[];
}) {
  const [asking, setAsking] = useState(false);
  const start = useAction(
    (form: FormData) =>
      call('startRollout', 'PUT', '/rollouts/{pool}', {
        params: { pool },
        body: {
          image: String(form.get('image')),
          stages: String(form.get('stages')).split(',').map(Number),
          trials: Number(form.get('trials')),
        },
      }),
    { done: () => 'The roll-out has begun.', stale: ['rollouts', 'pools'] },
  );
  return (
    <>
      <button type="button" onClick={() => setAsking(true)}>
        Roll out an image
      </button>
      {asking && (
        <Dialog
          title={`Roll out an image to ${pool}`}
          button="Begin"
          act={(form) => start.mutateAsync(form)}
          close={() => setAsking(false)}
        >
          <p>
            A share of the new workers is made from the new image. When as many jobs as asked for
            have ended well on it, the share grows; when it does worse than the old one, it is taken
            back.
          </p>
          <div className="field">
            <label htmlFor="rollout-image">Image</label>
            <input id="rollout-image" name="image" list="rollout-images" required />
            <datalist id="rollout-images">
              {images.map((each) => (
                <option key={each} value={each}>
                  {each}
                </option>
              ))}
            </datalist>
          </div>
          <label>
            Stages, in per cent
            <input name="stages" defaultValue="10, 50" pattern="[0-9., ]+" required />
          </label>
          <label>
            Jobs in each stage
            <input name="trials" type="number" min="1" defaultValue="20" required />
          </label>
        </Dialog>
      )}
    </>
  );
}
