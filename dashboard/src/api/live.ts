import { useSyncExternalStore } from 'react';
import type { Live } from '../../../src/protocol/api/live-resources.ts';
import { API } from './client.ts';
import {
  LiveStore,
  type LiveHost,
  type LiveJob,
  type LiveStatus,
  type WorkerView,
} from './live-store.ts';
import { loadSession } from './session.ts';

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 10_000;

export const live = new LiveStore();

/** Follows the fleet until it is stopped, through whatever becomes of the connection. */
export function followLive(): () => void {
  let source: EventSource | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let failures = 0;
  let stopped = false;
  const connect = () => {
    source = new EventSource(`${API}/live`);
    source.addEventListener('message', ({ data }: MessageEvent<string>) => {
      failures = 0;
      live.take(JSON.parse(data) as Live);
    });
    source.addEventListener('error', () => {
      source?.close();
      if (stopped) return;
      live.setStatus('lost');
      const wait = Math.min(FIRST_RETRY_MS * 2 ** failures, LONGEST_RETRY_MS);
      failures += 1;
      timer = setTimeout(() => void again(), wait);
    });
  };
  const again = async () => {
    // Somebody who is signed out would be refused again and again.
    const session = await loadSession().catch(() => undefined);
    if (!stopped && session?.signedIn !== false) connect();
  };
  connect();
  return () => {
    stopped = true;
    clearTimeout(timer);
    source?.close();
  };
}

const listen = (listener: () => void) => live.listen(listener);

export function useHosts(): readonly LiveHost[] {
  return useSyncExternalStore(listen, () => live.hosts.list());
}

export function useHost(name: string): LiveHost | undefined {
  return useSyncExternalStore(listen, () => live.hosts.get(name));
}

export function useWorkers(): readonly WorkerView[] {
  return useSyncExternalStore(listen, () => live.workers.list());
}

export function useWorkersOf(host: string): readonly WorkerView[] {
  return useSyncExternalStore(listen, () => live.workersOf(host));
}

export function useLiveJobs(): readonly LiveJob[] {
  return useSyncExternalStore(listen, () => live.jobs.list());
}

export function useLiveJob(id: string): LiveJob | undefined {
  return useSyncExternalStore(listen, () => live.jobs.get(id));
}

export function useLiveStatus(): LiveStatus {
  return useSyncExternalStore(listen, () => live.status);
}
