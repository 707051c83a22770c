import { createHash, randomBytes } from 'node:crypto';
import { newId } from '../domain/ids.ts';
import type { Role } from '../protocol/api/resources.ts';
import {
  enrolHost,
  findHostByCredential,
  findHostByName,
  taskOf,
  type HostRow,
} from '../db/queries/hosts.ts';
import {
  findTokenByHash,
  insertJoinToken,
  insertToken,
  spendJoinToken,
  touchToken,
} from '../db/queries/tokens.ts';
import { ProblemError } from '../protocol/problem.ts';
import { change, type Changes, type Context } from './context.ts';
import { endTask } from './host-tasks.ts';

/** Who a bearer token speaks for. */
export type Principal =
  | { readonly kind: 'token'; readonly id: string; readonly name: string; readonly role: Role }
  | { readonly kind: 'host'; readonly id: string; readonly name: string };

const TOUCH_EVERY_MS = 60_000;

/** What a token is for shows in its beginning, so that a leaked one is recognised. */
const PREFIX = { api: 'pomona_', host: 'pomona_host_', join: 'pomona_join_' } as const;

/** Tokens are 256 random bits; the database holds only their SHA-256. */
function mint(kind: keyof typeof PREFIX): { text: string; hash: string } {
  const text = PREFIX[kind] + randomBytes(32).toString('base64url');
  return { text, hash: hashToken(text) };
}

function hashToken(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

export class Auth {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  /** The principal of a valid token, else undefined. */
  async authenticate(bearer: string): Promise<Principal | undefined> {
    const now = this.#context.clock.now();
    const hash = hashToken(bearer);
    if (bearer.startsWith(PREFIX.host)) {
      const host = await findHostByCredential(this.#context.db, hash);
      return host === undefined ? undefined : { kind: 'host', id: host.id, name: host.name };
    }
    const token = await findTokenByHash(this.#context.db, hash);
    if (token === undefined || (token.expires_at !== null && token.expires_at <= now)) {
      return undefined;
    }
    if (now - (token.last_used_at ?? 0) > TOUCH_EVERY_MS) {
      await touchToken(this.#context.db, token.id, now);
    }
    return { kind: 'token', id: token.id, name: token.name, role: token.role };
  }

  async createToken(request: {
    name: string;
    role: Role;
    ttlMs: number | undefined;
  }): Promise<{ id: string; createdAt: number; expiresAt: number | undefined; token: string }> {
    const { text, hash } = mint('api');
    const createdAt = this.#context.clock.now();
    const id = newId('t', createdAt);
    const expiresAt = request.ttlMs === undefined ? undefined : createdAt + request.ttlMs;
    await insertToken(this.#context.db, {
      id,
      name: request.name,
      role: request.role,
      hash,
      created_at: createdAt,
      expires_at: expiresAt ?? null,
    });
    return { id, createdAt, expiresAt, token: text };
  }

  async createJoinToken(request: {
    ttlMs: number;
    uses: number;
  }): Promise<{ token: string; expiresAt: number }> {
    const { text, hash } = mint('join');
    const expiresAt = this.#context.clock.now() + request.ttlMs;
    await insertJoinToken(this.#context.db, { hash, expiresAt, uses: request.uses });
    return { token: text, expiresAt };
  }

  /**
   * Trades a use of a join token for a host's own credential. `isOnline` guards a host that is at
   * work from being taken over by whoever holds a join token.
   */
  async join(
    joinToken: string,
    name: string,
    isOnline: (host: HostRow) => boolean,
  ): Promise<{ hostId: string; fleet: string; credential: string }> {
    const { text, hash } = mint('host');
    const hostId = await change(this.#context, async (changes) => {
      const { tx, now, event } = changes;
      const known = await findHostByName(tx, name);
      if (known !== undefined && isOnline(known)) {
        throw new ProblemError(
          'conflict',
          `a host named ${name} is online; give this agent another --name, or stop the other`,
        );
      }
      if (!(await spendJoinToken(tx, hashToken(joinToken), now))) {
        throw new ProblemError(
          'unauthenticated',
          'the join token is unknown, used up or expired; make one with `pomona token join`',
        );
      }
      const id = known?.id ?? newId('h', now);
      await enrolHost(tx, { id, name, credentialHash: hash, now });
      await event('host', name, 'joined');
      if (known !== undefined) await wasInstalled(changes, known);
      return id;
    });
    return { hostId, fleet: this.#context.fleet, credential: text };
  }
}

/** A host that joins again under its name was installed anew, where that was what it was to do. */
async function wasInstalled(changes: Changes, host: HostRow): Promise<void> {
  const task = taskOf(host);
  if (task?.kind !== 'reimage' || !task.given) return;
  await endTask(changes, host.id, { id: task.id, state: 'done' });
}
