import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { findTokenByHash } from '../../db/queries/tokens.ts';
import {
  deleteWebSession,
  deleteWebSessionsBefore,
  findWebSession,
  insertWebSession,
  touchWebSession,
} from '../../db/queries/web-sessions.ts';
import type { Role } from '../../protocol/api/resources.ts';
import type { Principal } from '../auth.ts';
import type { Context } from '../context.ts';

/** Somebody is signed in for this long at most, and this long without a request. */
export const SESSION_MS = 7 * 86_400_000;
const IDLE_MS = 24 * 3_600_000;
const TOUCH_EVERY_MS = 60_000;

/** What a browser is given when somebody signs in. */
export interface WebSession {
  /** 256 random bits: the cookie's value. The database holds only its SHA-256. */
  readonly secret: string;
  readonly id: string;
}

/** Who is signed in to the page. */
export class WebSessions {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  /** A session with the rights of an API token, which ends when the token does; undefined: no such token. */
  async openWithToken(token: string): Promise<WebSession | undefined> {
    const now = this.#context.clock.now();
    const row = await findTokenByHash(this.#context.db, hashOf(token));
    if (row === undefined || (row.expires_at !== null && row.expires_at <= now)) return undefined;
    return this.#open({ name: row.name, role: row.role, tokenId: row.id });
  }

  /** A session of somebody for whom an identity provider vouches. */
  openFor(person: { readonly name: string; readonly role: Role }): Promise<WebSession> {
    return this.#open({ ...person, tokenId: null });
  }

  /** Who has this cookie, if it is of a session. */
  async find(secret: string): Promise<Extract<Principal, { kind: 'token' }> | undefined> {
    const { db, clock } = this.#context;
    const now = clock.now();
    const row = await findWebSession(db, hashOf(secret), now);
    if (row === undefined || now - row.seen_at > IDLE_MS) return undefined;
    if (now - row.seen_at > TOUCH_EVERY_MS) await touchWebSession(db, row.hash, now);
    return { kind: 'token', id: row.id, name: row.name, role: row.role };
  }

  close(secret: string): Promise<void> {
    return deleteWebSession(this.#context.db, hashOf(secret));
  }

  async #open(who: { name: string; role: Role; tokenId: string | null }): Promise<WebSession> {
    const { db, clock, newId } = this.#context;
    const now = clock.now();
    await deleteWebSessionsBefore(db, { now, idleSince: now - IDLE_MS });
    const secret = randomBytes(32).toString('base64url');
    const id = newId('s', now);
    await insertWebSession(db, {
      ...{ hash: hashOf(secret), id, name: who.name, role: who.role, token_id: who.tokenId },
      ...{ created_at: now, seen_at: now, expires_at: now + SESSION_MS },
    });
    return { secret, id };
  }
}

/** What the page sends back with everything that changes something: another site cannot read it. */
export function csrfTokenOf(secret: string): string {
  return createHmac('sha256', secret).update('pomona csrf').digest('base64url');
}

export function isCsrfToken(secret: string, given: string): boolean {
  const wanted = Buffer.from(csrfTokenOf(secret));
  const got = Buffer.from(given);
  return wanted.length === got.length && timingSafeEqual(wanted, got);
}

function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
