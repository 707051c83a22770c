import { useState } from 'react';
import type { PoolView } from '../../../src/protocol/api/resources.ts';
import { ApiError, call } from '../api/client.ts';
import { useAction } from '../api/queries.ts';
import { Dialog } from '../ui/dialog.tsx';

const FIRST = {
  name: 'macos',
  labels: ['macos'],
  kind: 'vm',
  vm: 'tart',
  image: 'macos-26',
  ready: 2,
  max: 20,
};

/**
 * A pool as the API has it. The controller says of each field what it expected; nothing changes until all
 * of it is right.
 */
export function EditPool({
  pool,
  close,
}: {
  readonly pool?: PoolView;
  readonly close: () => void;
}) {
  const [text, setText] = useState(() => JSON.stringify(pool?.spec ?? FIRST, null, 2));
  const [errors, setErrors] = useState<
    readonly { readonly path: string; readonly message: string }[]
  >([]);
  const apply = useAction(
    async () => {
      setErrors([]);
      const body = parsed(text);
      try {
        await call('applyPool', 'PUT', '/pools/{name}', {
          params: { name: String(body.name) },
          body,
        });
      } catch (error) {
        if (error instanceof ApiError) setErrors(error.problem?.errors ?? []);
        throw error;
      }
    },
    { done: () => 'The pool is applied.', stale: ['pools'] },
  );
  return (
    <Dialog
      title={pool === undefined ? 'Add a pool' : `Change pool ${pool.spec.name}`}
      button="Apply"
      act={() => apply.mutateAsync(undefined)}
      close={close}
    >
      <p className="soft">
        What the fields mean is in the reference of pomona.yaml; times are in milliseconds here.
        Workers that wait are made anew when what they are made from changes; jobs that run are left
        alone.
      </p>
      <div className="field">
        <label htmlFor="pool-spec">Pool, as JSON</label>
        <textarea
          id="pool-spec"
          spellCheck={false}
          value={text}
          aria-invalid={errors.length > 0}
          aria-describedby="pool-errors"
          onChange={({ target }) => setText(target.value)}
        />
      </div>
      <ul id="pool-errors">
        {errors.map(({ path, message }) => (
          <li key={`${path} ${message}`}>
            <code>{path || 'the pool'}</code>: {message}
          </li>
        ))}
      </ul>
    </Dialog>
  );
}

function parsed(text: string): { name: string } {
  try {
    return JSON.parse(text) as { name: string };
  } catch (error) {
    throw new Error(`That is not JSON: ${(error as Error).message}`);
  }
}
