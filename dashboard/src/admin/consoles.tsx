import { useQuery } from '@tanstack/react-query';
import { API } from '../api/client.ts';
import { consoles as consolesQuery } from '../api/queries.ts';
import { bytes } from '../ui/amounts.ts';
import { Answer, Badge, Empty, Table } from '../ui/parts.tsx';
import { Ago, span } from '../ui/time.tsx';

/** Who looked into which worker, with what their shells showed. */
export function Consoles() {
  const consoles = useQuery(consolesQuery);
  return (
    <Answer of={consoles} what="the consoles">
      {({ items }) =>
        items.length === 0 ? (
          <Empty title="Nobody has looked into a worker">
            <p>
              Operators can open a shell in a worker that runs a job or is kept after it. What a
              shell shows is recorded.
            </p>
          </Empty>
        ) : (
          <Table
            label="Consoles"
            rows={items}
            keyOf={({ id }) => id}
            columns={[
              { title: 'Opened', cell: ({ openedAt }) => <Ago at={openedAt} /> },
              { title: 'Who', cell: ({ who }) => who },
              { title: 'Kind', cell: ({ kind }) => kind },
              { title: 'Worker', cell: ({ workerId }) => <span className="mono">{workerId}</span> },
              {
                title: 'Lasted',
                cell: ({ openedAt, endedAt }) =>
                  endedAt === undefined ? (
                    <Badge tone="busy">open</Badge>
                  ) : (
                    span(endedAt - openedAt)
                  ),
              },
              {
                title: 'Recording',
                cell: ({ id, kind, bytes: size }) =>
                  kind === 'shell' && (
                    <a href={`${API}/consoles/${id}/recording`} download={`${id}.cast`}>
                      asciicast, {bytes(size)}
                    </a>
                  ),
              },
            ]}
          />
        )
      }
    </Answer>
  );
}
