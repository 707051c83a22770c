import { useSyncExternalStore } from 'react';
import type { Role } from '../../../src/protocol/api/resources.ts';

/** Who is signed in, as the controller says. */
export type Session =
  | { readonly signedIn: false; readonly ways: Ways }
  | {
      readonly signedIn: true;
      readonly name: string;
      readonly role: Role;
      readonly csrf: string;
      readonly fleet: string;
      readonly ways: Ways;
    };

interface Ways {
  /** The identity provider, if there is one. */
  readonly openid?: string;
}

const ROLES: readonly Role[] = ['viewer', 'submitter', 'operator', 'admin'];

let session: Session | undefined;
const listeners = new Set<() => void>();

function set(next: Session | undefined): void {
  session = next;
  for (const listener of listeners) listener();
}

export function csrfToken(): string {
  return session?.signedIn === true ? session.csrf : '';
}

/** Asks who is signed in. Throws what `fetch` throws. */
export async function loadSession(): Promise<Session> {
  const response = await fetch('/web/session', { headers: { accept: 'application/json' } });
  if (!response.ok) throw new Error(`the controller answered ${response.status}`);
  const loaded = (await response.json()) as Session;
  set(loaded);
  return loaded;
}

/** The controller does not know us any more. */
export function signedOut(): void {
  if (session?.signedIn === true) set({ signedIn: false, ways: session.ways });
}

export async function signOut(): Promise<void> {
  await fetch('/web/session', { method: 'DELETE', headers: { 'pomona-csrf': csrfToken() } });
  signedOut();
}

export function useSession(): Session | undefined {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => session,
  );
}

export function currentSession(): Session | undefined {
  return session;
}

/** Whether who is signed in may do what needs this role. */
export function useMay(needed: Role): boolean {
  const who = useSession();
  return who?.signedIn === true && ROLES.indexOf(who.role) >= ROLES.indexOf(needed);
}
