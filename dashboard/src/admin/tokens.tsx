import { useState } from 'react';
import { useQuery } from '@tanstack/react-query';
import type { Role } from '../../../src/protocol/api/resources.ts';
import { call } from '../api/client.ts';
import { tokens as tokensQuery, useAction } from '../api/queries.ts';
import { Dialog } from '../ui/dialog.tsx';
import { Answer, Copyable, Table } from '../ui/parts.tsx';
import { Ago } from '../ui/time.tsx';

const DAY_MS = 86_400_000;

const ROLES: readonly (readonly [Role, string])[] = [
  ['viewer', 'looks at everything but secrets'],
  ['submitter', 'submits and cancels jobs, too'],
  ['operator', 'sees to hosts, pools and workers, too'],
  ['admin', 'may do everything'],
];

/** API tokens: made here, shown once, revoked here. */
export function Tokens() {
  const tokens = useQuery(tokensQuery);
  const [asking, setAsking] = useState<'create' | { readonly id: string; readonly name: string }>();
  const [made, setMade] = useState<string>();
  const create = useAction(
    async (form: FormData) => {
      const days = String(form.get('days') ?? '');
      const { token } = await call('createToken', 'POST', '/tokens', {
        body: {
          name: String(form.get('name')),
          role: String(form.get('role')) as Role,
          ...(days === '' ? {} : { ttlMs: Math.round(Number(days) * DAY_MS) }),
        },
      });
      setMade(token);
    },
    { stale: ['tokens'] },
  );
  const revoke = useAction(
    (id: string) => call('revokeToken', 'DELETE', '/tokens/{id}', { params: { id } }),
    {
      ...{ done: () => 'The token is revoked.', stale: ['tokens'] },
    },
  );
  return (
    <section className="card" aria-label="Tokens">
      <p>
        What programs and people call the API with. Who signs in with one has its role, for as long
        as it is valid. Roles: {ROLES.map(([role, what]) => `${role} ${what}`).join('; ')}.
      </p>
      <div className="actions">
        <button type="button" className="primary" onClick={() => setAsking('create')}>
          Make a token
        </button>
      </div>
      {made !== undefined && (
        <div className="note" role="status">
          This is the token. It is shown this once: take it along now.
          <Copyable text={made} label="The new token" />
          <button type="button" onClick={() => setMade(undefined)}>
            I have it
          </button>
        </div>
      )}
      <Answer of={tokens} what="the tokens">
        {({ items }) => (
          <Table
            label="Tokens"
            rows={items}
            keyOf={({ id }) => id}
            columns={[
              { title: 'Name', cell: ({ name }) => name },
              { title: 'Role', cell: ({ role }) => role },
              { title: 'Made', cell: ({ createdAt }) => <Ago at={createdAt} /> },
              {
                title: 'Expires',
                cell: ({ expiresAt }) =>
                  expiresAt === undefined ? 'never' : <Ago at={expiresAt} />,
              },
              {
                title: 'Last used',
                cell: ({ lastUsedAt }) =>
                  lastUsedAt === undefined ? 'never' : <Ago at={lastUsedAt} />,
              },
              {
                title: '',
                cell: ({ id, name }) => (
                  <button type="button" onClick={() => setAsking({ id, name })}>
                    Revoke<span className="hidden"> {name}</span>
                  </button>
                ),
              },
            ]}
          />
        )}
      </Answer>
      {asking === 'create' && (
        <Dialog
          title="Make a token"
          button="Make it"
          act={(form) => create.mutateAsync(form)}
          close={() => setAsking(undefined)}
        >
          <label>
            Name
            <input
              name="name"
              required
              pattern="[a-z0-9][a-z0-9._\-]{0,62}"
              title="small letters, digits, dots and dashes"
            />
          </label>
          <label>
            Role
            <select name="role" defaultValue="viewer">
              {ROLES.map(([role, what]) => (
                <option key={role} value={role}>
                  {role}: {what}
                </option>
              ))}
            </select>
          </label>
          <label>
            Valid for days (empty: until it is revoked)
            <input name="days" type="number" min="0.01" step="any" defaultValue="90" />
          </label>
        </Dialog>
      )}
      {typeof asking === 'object' && (
        <Dialog
          title={`Revoke ${asking.name}?`}
          button="Revoke"
          danger
          act={() => revoke.mutateAsync(asking.id)}
          close={() => setAsking(undefined)}
        >
          <p>Whoever uses it is refused from now on, and who signed in with it is signed out.</p>
        </Dialog>
      )}
    </section>
  );
}
