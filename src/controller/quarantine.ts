import { EVIDENCE_MS, judgeHost } from '../domain/quarantine.ts';
import { noteOutcome, outcomesOf } from '../db/queries/host-outcomes.ts';
import { findHost } from '../db/queries/hosts.ts';
import type { WorkerRow } from '../db/queries/workers.ts';
import type { Changes } from './context.ts';
import { quarantine, repairs } from './host-tasks.ts';

/** Notes how work ended on a host, and leaves the host alone when that says that it is broken. */
export async function heed(
  changes: Changes,
  { host_id: hostId, pool }: Pick<WorkerRow, 'host_id' | 'pool'>,
  { failed }: { readonly failed: boolean },
): Promise<void> {
  const { tx, now } = changes;
  await noteOutcome(tx, { hostId, pool, at: now, failed });
  if (!failed) return;
  const host = await findHost(tx, hostId);
  if (host?.state !== 'active') return;
  const { here, elsewhere } = await outcomesOf(tx, { hostId, pool, since: now - EVIDENCE_MS });
  const verdict = judgeHost(here, elsewhere, host.strikes, repairs(host));
  if (verdict !== undefined) await quarantine(changes, host, verdict);
}
