import type { ConsoleKind } from '../../domain/console.ts';
import type { HostFacts } from '../../domain/host.ts';
import type { WorkerSpec } from '../../domain/worker.ts';
import type { WorkerRow } from '../../db/queries/workers.ts';

/**
 * The ways into a worker now: one that has a job, or is kept after it. A worker that waits for its job
 * has none, for what people do in it the job would find.
 */
export function consolesOf(
  row: Pick<WorkerRow, 'state' | 'goal' | 'kept_until'>,
  spec: WorkerSpec,
  facts: HostFacts | undefined,
): ConsoleKind[] {
  const { consoles } = facts ?? {};
  const isKept = row.state === 'finishing' && row.kept_until !== null;
  if (consoles === undefined || row.goal === 'destroyed') return [];
  if (row.state !== 'running' && !isKept) return [];
  switch (spec.kind) {
    case 'sandbox':
      return consoles.sandboxes ? ['shell'] : [];
    case 'vm':
      return [
        ...(consoles.shells.includes(spec.vm) ? (['shell'] as const) : []),
        ...(consoles.screens.includes(spec.vm) ? (['screen'] as const) : []),
      ];
    case 'build':
      return [];
  }
}
