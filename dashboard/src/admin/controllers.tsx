import { useQuery } from '@tanstack/react-query';
import { controllers as controllersQuery } from '../api/queries.ts';
import { Answer, Table } from '../ui/parts.tsx';

/** The controllers that live, and what each alone sees to. */
export function Controllers() {
  const controllers = useQuery(controllersQuery);
  return (
    <Answer of={controllers} what="the controllers">
      {({ items }) => (
        <Table
          label="Controllers"
          rows={items}
          keyOf={({ id }) => id}
          columns={[
            { title: 'Name', cell: ({ name }) => name },
            { title: 'Id', cell: ({ id }) => <span className="mono">{id}</span> },
            { title: 'Hosts', cell: ({ hosts }) => hosts, number: true },
            { title: 'Sees to', cell: ({ leases }) => leases.join(', ') },
          ]}
        />
      )}
    </Answer>
  );
}
