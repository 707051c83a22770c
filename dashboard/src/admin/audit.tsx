import { useInfiniteQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { call } from '../api/client.ts';
import { Answer, Badge, Empty, Table } from '../ui/parts.tsx';
import { Ago } from '../ui/time.tsx';

const PAGE = 100;
const REFUSED = 400;

/** Who did what, newest first. */
export function Audit() {
  const { who, action } = useSearch({ from: '/frame/admin' });
  const navigate = useNavigate({ from: '/admin' });
  const query = useInfiniteQuery({
    queryKey: ['audit', who, action],
    queryFn: ({ pageParam, signal }) =>
      call('listAudit', 'GET', '/audit', {
        query: {
          limit: PAGE,
          ...(pageParam === '' ? {} : { before: pageParam }),
          ...(who === undefined ? {} : { who }),
          ...(action === undefined ? {} : { action }),
        },
        signal,
      }),
    initialPageParam: '',
    getNextPageParam: ({ next }) => next,
  });
  const set = (change: object) =>
    void navigate({ search: (before) => ({ ...before, ...change }), replace: true });
  return (
    <section className="card" aria-label="Audit log">
      <div className="filters" role="search">
        <label>
          Who
          <input
            type="search"
            defaultValue={who ?? ''}
            onChange={({ target }) => set({ who: target.value })}
          />
        </label>
        <label>
          What
          <input
            type="search"
            defaultValue={action ?? ''}
            placeholder="such as drainHost"
            onChange={({ target }) => set({ action: target.value })}
          />
        </label>
        <button type="button" onClick={() => void query.refetch()}>
          Look again
        </button>
      </div>
      <Answer of={query} what="the audit log">
        {({ pages }) => {
          const rows = pages.flatMap(({ items }) => items);
          if (rows.length === 0) {
            return (
              <Empty title="Nothing is recorded here">
                <p>
                  Everything that people and programs change through the API is recorded for 400
                  days, with who did it and how it ended.
                </p>
              </Empty>
            );
          }
          return (
            <>
              <Table
                label="Audit log"
                rows={rows}
                keyOf={({ seq }) => String(seq)}
                columns={[
                  { title: 'When', cell: ({ at }) => <Ago at={at} /> },
                  { title: 'Who', cell: (row) => `${row.who} (${row.role})` },
                  { title: 'What', cell: (row) => row.action },
                  { title: 'Of', cell: ({ target }) => <span className="mono">{target}</span> },
                  { title: 'With', cell: ({ detail }) => <code>{detail}</code> },
                  {
                    title: 'Answer',
                    cell: ({ status }) =>
                      status >= REFUSED ? (
                        <Badge tone="bad">{status}</Badge>
                      ) : (
                        <Badge tone="good">{status}</Badge>
                      ),
                  },
                  { title: 'From', cell: ({ address }) => address },
                ]}
              />
              {query.hasNextPage && (
                <button type="button" onClick={() => void query.fetchNextPage()}>
                  Show older entries
                </button>
              )}
            </>
          );
        }}
      </Answer>
    </section>
  );
}
