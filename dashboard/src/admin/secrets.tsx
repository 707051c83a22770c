import { useState } from 'react';
import { useQuery } from '@tanstack/react-query';
import { call } from '../api/client.ts';
import { secrets as secretsQuery, useAction } from '../api/queries.ts';
import { useMay } from '../api/session.ts';
import { Dialog } from '../ui/dialog.tsx';
import { Answer, Empty, Table } from '../ui/parts.tsx';
import { Ago } from '../ui/time.tsx';

/** Secrets: they are set, and used by jobs; nobody reads them. */
export function Secrets() {
  const secrets = useQuery(secretsQuery);
  const may = useMay('admin');
  const [asking, setAsking] = useState<'set' | { readonly name: string }>();
  const set = useAction(
    (form: FormData) =>
      call('setSecret', 'PUT', '/secrets/{name}', {
        params: { name: String(form.get('name')) },
        body: { value: String(form.get('value')) },
      }),
    { done: () => 'The secret is set.', stale: ['secrets'] },
  );
  const remove = useAction(
    (name: string) => call('removeSecret', 'DELETE', '/secrets/{name}', { params: { name } }),
    { stale: ['secrets'] },
  );
  return (
    <section className="card" aria-label="Secrets">
      {may && (
        <div className="actions">
          <button type="button" className="primary" onClick={() => setAsking('set')}>
            Set a secret
          </button>
        </div>
      )}
      <Answer of={secrets} what="the secrets">
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="No secret is set">
              <p>
                Jobs get secrets as environment variables, by name; integrations take their
                credentials from them.
              </p>
            </Empty>
          ) : (
            <Table
              label="Secrets"
              rows={items}
              keyOf={({ name }) => name}
              columns={[
                { title: 'Name', cell: ({ name }) => <code>{name}</code> },
                { title: 'Set', cell: ({ updatedAt }) => <Ago at={updatedAt} /> },
                {
                  title: '',
                  cell: ({ name }) =>
                    may && (
                      <button type="button" onClick={() => setAsking({ name })}>
                        Remove<span className="hidden"> {name}</span>
                      </button>
                    ),
                },
              ]}
            />
          )
        }
      </Answer>
      {asking === 'set' && (
        <Dialog
          title="Set a secret"
          button="Set it"
          act={(form) => set.mutateAsync(form)}
          close={() => setAsking(undefined)}
        >
          <label>
            Name
            <input
              name="name"
              required
              pattern="[A-Za-z_][A-Za-z0-9_]*"
              title="as environment variables are called"
              placeholder="NPM_TOKEN"
            />
          </label>
          <div className="field">
            <label htmlFor="secret-value">Value; it is never shown again</label>
            <textarea
              id="secret-value"
              name="value"
              required
              spellCheck={false}
              autoComplete="off"
            />
          </div>
        </Dialog>
      )}
      {typeof asking === 'object' && (
        <Dialog
          title={`Remove ${asking.name}?`}
          button="Remove"
          danger
          act={() => remove.mutateAsync(asking.name)}
          close={() => setAsking(undefined)}
        >
          <p>Jobs that ask for it are refused from now on.</p>
        </Dialog>
      )}
    </section>
  );
}
