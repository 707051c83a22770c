import { useQuery } from '@tanstack/react-query';
import { leaks as leaksQuery } from '../api/queries.ts';
import { Answer, Empty, Table } from '../ui/parts.tsx';
import { Ago } from '../ui/time.tsx';

/** What was left behind, and when it is removed. */
export function Leaks() {
  const leaks = useQuery(leaksQuery);
  return (
    <Answer of={leaks} what="the leaks">
      {({ items }) =>
        items.length === 0 ? (
          <Empty title="Nothing was left behind">
            <p>
              Every machine, clone, volume and registration that carries the fleet’s name belongs to
              something that is there.
            </p>
          </Empty>
        ) : (
          <Table
            label="Leaks"
            rows={items}
            keyOf={({ where, name }) => `${where} ${name}`}
            columns={[
              { title: 'Where', cell: ({ where }) => where },
              { title: 'What', cell: ({ kind }) => kind },
              { title: 'Name', cell: ({ name }) => <span className="mono">{name}</span> },
              { title: 'Since', cell: ({ since }) => <Ago at={since} /> },
              { title: 'Is removed', cell: ({ removedAt }) => <Ago at={removedAt} /> },
              { title: 'Problem', cell: ({ problem }) => problem },
            ]}
          />
        )
      }
    </Answer>
  );
}
