import { useState } from 'react';
import { call } from '../api/client.ts';
import { useAction } from '../api/queries.ts';
import { Copyable } from '../ui/parts.tsx';
import { Ago } from '../ui/time.tsx';

const HOUR_MS = 3_600_000;

/** A command that lets hosts join, to be taken along. */
export function Enrol() {
  const [made, setMade] = useState<{
    readonly token: string;
    readonly expiresAt: number;
    readonly uses: number;
  }>();
  const make = useAction(async (form: FormData) => {
    const uses = Number(form.get('uses'));
    const ttlMs = Math.round(Number(form.get('hours')) * HOUR_MS);
    setMade({
      ...(await call('createJoinToken', 'POST', '/join-tokens', { body: { uses, ttlMs } })),
      uses,
    });
  });
  return (
    <section className="card" aria-label="Add hosts">
      <p>
        Make a token with which hosts may join, and start the agent on each of them. A host’s own
        credential takes the token’s place then: the token is worth nothing once it is used up or
        too old.
      </p>
      <form
        className="filters"
        onSubmit={(event) => {
          event.preventDefault();
          make.mutate(new FormData(event.currentTarget));
        }}
      >
        <label>
          Hosts
          <input name="uses" type="number" min="1" max="10000" defaultValue="1" required />
        </label>
        <label>
          Valid for hours
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
        <button type="submit" className="primary" disabled={make.isPending}>
          Make a join token
        </button>
      </form>
      {made !== undefined && (
        <div role="status" className="field">
          <p>
            For {made.uses === 1 ? 'one host' : `${made.uses} hosts`}; it expires{' '}
            <Ago at={made.expiresAt} />. On each host:
          </p>
          <Copyable
            label="Commands that let a host join"
            text={`umask 077; cat > join.token <<'TOKEN'\n${made.token}\nTOKEN\npomona agent run --controller ${location.origin} --join-token-file join.token`}
          />
        </div>
      )}
    </section>
  );
}
