import { Link } from '@tanstack/react-router';
import type { WorkerView } from '../api/live-store.ts';
import { Badge, Table, type Column } from '../ui/parts.tsx';
import { Since } from '../ui/time.tsx';
import { workerTone } from '../fleet/look.ts';
import { LookInside } from './look-inside.tsx';

/** Workers, with what each has to do and the ways into it. */
export function WorkerTable({
  workers,
  host = true,
}: {
  readonly workers: readonly WorkerView[];
  readonly host?: boolean;
}) {
  const columns: Column<WorkerView>[] = [
    { title: 'State', cell: (row) => <Badge tone={workerTone(row)}>{row.state}</Badge> },
    { title: 'Worker', cell: ({ id }) => <span className="mono">{id}</span> },
    {
      title: 'Pool',
      cell: ({ pool }) => (
        <Link to="/pools/$name" params={{ name: pool }}>
          {pool}
        </Link>
      ),
    },
    { title: 'Image', cell: ({ image }) => image },
    {
      title: 'Job',
      cell: ({ jobId }) =>
        jobId !== undefined && (
          <Link to="/jobs/$id" params={{ id: jobId }} className="mono">
            {jobId}
          </Link>
        ),
    },
    { title: 'Age', cell: ({ createdAt }) => <Since at={createdAt} />, number: true },
    { title: 'Driver', cell: ({ driver }) => driver },
    { title: 'Look inside', cell: (row) => <LookInside worker={row} /> },
    { title: 'Reason', cell: ({ reason }) => reason },
  ];
  if (host) {
    columns.splice(2, 0, {
      title: 'Host',
      cell: ({ hostName }) => (
        <Link to="/hosts/$name" params={{ name: hostName }}>
          {hostName}
        </Link>
      ),
    });
  }
  return <Table label="Workers" columns={columns} rows={workers} keyOf={({ id }) => id} />;
}
