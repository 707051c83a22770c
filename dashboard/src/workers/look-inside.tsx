import type { WorkerView } from '../api/live-store.ts';
import { useMay } from '../api/session.ts';

const NAMES = { shell: 'Shell', screen: 'Screen' } as const;

/** The ways into a worker, each in a window of its own. */
export function LookInside({ worker }: { readonly worker: Pick<WorkerView, 'id' | 'consoles'> }) {
  const may = useMay('operator');
  if (!may) return null;
  return (
    <span className="actions">
      {worker.consoles.map((kind) => (
        <a
          key={kind}
          className="button"
          href={`/console/${worker.id}?kind=${kind}`}
          target="_blank"
          rel="noreferrer"
        >
          {NAMES[kind]}
          <span className="hidden"> of {worker.id}, in a new window</span>
        </a>
      ))}
    </span>
  );
}
