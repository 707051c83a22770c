import { useSyncExternalStore } from 'react';

interface Toast {
  readonly id: number;
  readonly kind: 'good' | 'bad';
  readonly text: string;
}

const SHOWN_MS = 8_000;

let toasts: readonly Toast[] = [];
let next = 1;
const listeners = new Set<() => void>();

function set(all: readonly Toast[]): void {
  toasts = all;
  for (const listener of listeners) listener();
}

/** Tells how something went. What went wrong stays until somebody takes it away. */
export function toast(kind: Toast['kind'], text: string): void {
  const id = next;
  next += 1;
  set([...toasts.slice(-4), { id, kind, text }]);
  if (kind === 'good') setTimeout(() => set(toasts.filter((each) => each.id !== id)), SHOWN_MS);
}

export function Toasts() {
  const all = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => toasts,
  );
  return (
    <div className="toasts" role="status" aria-live="polite">
      {all.map(({ id, kind, text }) => (
        <div key={id} className={`toast ${kind}`}>
          <span>{text}</span>
          <button
            type="button"
            className="quiet"
            onClick={() => set(toasts.filter((each) => each.id !== id))}
          >
            Close
          </button>
        </div>
      ))}
    </div>
  );
}
