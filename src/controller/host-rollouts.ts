import { createHash } from 'node:crypto';
import { factsOf, listHosts, type HostRow } from '../db/queries/hosts.ts';
import {
  deleteHostRollout,
  findHostRollout,
  insertHostRollout,
  listHostRollouts,
  moveHostRollout,
  rolloutEvidence,
  rolloutHosts,
  type HostRolloutRow,
  type RolloutHostRow,
} from '../db/queries/host-rollouts.ts';
import {
  decideHostRollout,
  ROLLOUT_TASKS,
  type HostRollout,
  type HostRolloutKind,
  type HostRolloutState,
  type RolloutHost,
} from '../domain/host-rollout.ts';
import { EVIDENCE_MS } from '../domain/quarantine.ts';
import type { HostRolloutOrder, HostRolloutView } from '../protocol/api/host-resources.ts';
import { ProblemError } from '../protocol/problem.ts';
import { change, type Changes, type Context } from './context.ts';
import { carryOut, isAble, isFor, valueOf } from './host-rollout-steps.ts';
import type { HostLinks } from './host-links.ts';
import type { Lease } from './leases.ts';

/** What a person does with a roll-out. */
export type HostRolloutMove = 'pause' | 'resume' | 'promote' | 'back';

const EVERY_MS = 2_000;
/** Looks at all hosts are not free: what many hosts say at once is one reason to look. */
const LEAST_MS = 500;
/** Those that are done only wait for hosts that come back. */
const DONE_EVERY_MS = 30_000;
/** From which states, and to which. */
const MOVES = {
  pause: { from: ['running'], to: 'paused' },
  resume: { from: ['paused'], to: 'running' },
  promote: { from: ['running', 'paused'], to: 'running' },
  back: { from: ['running', 'paused', 'done'], to: 'back' },
} as const;

/** Versions of the agent and settings that move through the hosts, ring by ring. */
export class HostRollouts {
  readonly #context: Context;
  readonly #links: HostLinks;
  readonly #lease: Lease;
  readonly #stopTicking: () => void;
  readonly #unlisten: () => void;
  #running: Promise<void> | undefined;
  #lookedAt = -Infinity;
  #lookedAtDone = -Infinity;

  constructor(context: Context, parts: { readonly links: HostLinks; readonly lease: Lease }) {
    this.#context = context;
    this.#links = parts.links;
    this.#lease = parts.lease;
    this.#stopTicking = context.clock.every(EVERY_MS, () => this.wake());
    this.#unlisten = context.bus.listen(({ rows }) => {
      if (rows.some(({ kind }) => kind === 'host')) this.wake();
    });
  }

  wake(): void {
    const now = this.#context.clock.monotonic();
    if (!this.#lease.held || now - this.#lookedAt < LEAST_MS) return;
    this.#lookedAt = now;
    this.#running ??= this.goOn()
      .catch((error: unknown) => {
        this.#context.log.log('warn', 'the roll-outs to hosts cannot go on now', { error });
      })
      .finally(() => {
        this.#running = undefined;
      });
  }

  async close(): Promise<void> {
    this.#stopTicking();
    this.#unlisten();
    await this.#running;
  }

  /** Does the next steps of all roll-outs. What is decided is decided on fresh rows. */
  async goOn(): Promise<void> {
    const fenced = this.#lease.fence(this.#context);
    const now = this.#context.clock.monotonic();
    const alsoDone = now - this.#lookedAtDone >= DONE_EVERY_MS;
    if (alsoDone) this.#lookedAtDone = now;
    for (const { what, state } of await listHostRollouts(this.#context.db)) {
      if (state === 'paused' || (state === 'done' && !alsoDone)) continue;
      await change(fenced, async (changes) => {
        const row = await findHostRollout(changes.tx, what);
        if (row === undefined) return;
        const { hosts, known } = await this.#hostsOf(changes, row);
        const evidence = await rolloutEvidence(changes.tx, what, row.started_at - EVIDENCE_MS);
        for (const step of decideHostRollout(rolloutOf(row), hosts, evidence, changes.now)) {
          await carryOut(changes, row, known, step);
        }
      });
    }
  }

  /** Those it is for in the order of their turns, which is another for each roll-out. */
  async #hostsOf({ tx }: Changes, row: HostRolloutRow) {
    const labels = JSON.parse(row.labels) as string[];
    const known = new Map((await rolloutHosts(tx, row.what)).map((each) => [each.host_id, each]));
    const turn = ({ id }: HostRow) =>
      createHash('sha256').update(`${row.what} ${row.started_at} ${id}`).digest('hex');
    const rows = (await listHosts(tx))
      // Settings may take the very labels from a host that it was chosen by.
      .filter((host) => known.has(host.id) || isFor(host, labels))
      .map((host) => ({ host, turn: turn(host) }))
      .toSorted((a, b) => (a.turn < b.turn ? -1 : 1));
    const hosts = rows.map(({ host }): RolloutHost => {
      const mine = known.get(host.id);
      return {
        ...{ id: host.id, state: mine?.state ?? 'waiting', detail: mine?.detail ?? undefined },
        able: this.#links.of(host).online && isAble(host, row.what),
        has: valueOf(host, row.what) === row.value,
      };
    });
    return { hosts, known };
  }

  async list(): Promise<HostRolloutView[]> {
    const { db } = this.#context;
    const hosts = await listHosts(db);
    return Promise.all(
      (await listHostRollouts(db)).map(async (row) =>
        viewOf(row, hosts, await rolloutHosts(db, row.what)),
      ),
    );
  }

  async start(what: HostRolloutKind, order: HostRolloutOrder): Promise<HostRolloutView> {
    const value = what === 'agent' ? order.version : JSON.stringify(order.settings);
    if (value === undefined) {
      const expected = what === 'agent' ? 'version' : 'settings';
      throw new ProblemError('invalid', `a roll-out of ${what} needs ${expected}`, {
        errors: [{ path: expected, message: 'expected it' }],
      });
    }
    await change(this.#context, async (changes) => {
      const { tx, now, event } = changes;
      const known = await findHostRollout(tx, what);
      if (known?.state === 'running' || known?.state === 'paused') {
        throw new ProblemError(
          'conflict',
          `a roll-out of ${what} is ${known.state}; \`pomona rollout ${what} back\` or \`promote\` first`,
        );
      }
      const labels = order.labels ?? [];
      const kind = ROLLOUT_TASKS[what];
      const mine = (await listHosts(tx)).filter((host) => isFor(host, labels));
      if (!mine.some((host) => factsOf(host)?.tasks?.includes(kind))) {
        const why =
          what === 'agent'
            ? 'start their agents with --update-command'
            : 'none has an agent of its own';
        throw new ProblemError('conflict', `of ${mine.length} hosts none can do that: ${why}`);
      }
      await insertHostRollout(tx, {
        ...{ what, value, labels: JSON.stringify(labels), now },
        ...{ rings: JSON.stringify([...new Set([...order.rings, 100])]), at_once: order.atOnce },
        ...{ soak_ms: order.soak, within_ms: order.within ?? null },
      });
      await event('host-rollout', what, 'started', what === 'agent' ? `to ${value}` : value);
    });
    this.wake();
    return this.#view(what);
  }

  async move(what: HostRolloutKind, how: HostRolloutMove): Promise<HostRolloutView> {
    const { from, to } = MOVES[how];
    await change(this.#context, async ({ tx, now, event }) => {
      const row = await mustFind(tx, what);
      if (!(from as readonly HostRolloutState[]).includes(row.state)) {
        throw new ProblemError('conflict', `the roll-out of ${what} is ${row.state}`);
      }
      const last = (JSON.parse(row.rings) as number[]).length - 1;
      const ring = how === 'promote' ? last : row.ring;
      await moveHostRollout(tx, what, {
        ...{ state: to, ring, ringDoneAt: row.ring_done_at ?? undefined, now },
        reason: how === 'resume' ? undefined : `${how} by hand`,
      });
      await event('host-rollout', what, how, 'by hand');
    });
    this.wake();
    return this.#view(what);
  }

  /** Forgets one. Hosts stay as they are. */
  async remove(what: HostRolloutKind): Promise<void> {
    await change(this.#context, async ({ tx, event }) => {
      await mustFind(tx, what);
      await deleteHostRollout(tx, what);
      await event('host-rollout', what, 'removed', 'by hand');
    });
  }

  async #view(what: HostRolloutKind): Promise<HostRolloutView> {
    const view = (await this.list()).find((each) => each.what === what);
    if (view === undefined) throw noRollout(what);
    return view;
  }
}

function rolloutOf(row: HostRolloutRow): HostRollout {
  return {
    ...{ what: row.what, state: row.state, rings: JSON.parse(row.rings) as number[] },
    ...{ ring: row.ring, atOnce: row.at_once, soakMs: Number(row.soak_ms) },
    ringDoneAt: row.ring_done_at === null ? undefined : Number(row.ring_done_at),
  };
}

async function mustFind(tx: Changes['tx'], what: HostRolloutKind): Promise<HostRolloutRow> {
  const row = await findHostRollout(tx, what);
  if (row === undefined) throw noRollout(what);
  return row;
}

function noRollout(what: HostRolloutKind): ProblemError {
  return new ProblemError('not_found', `there is no roll-out of ${what}; \`pomona rollout list\``);
}

function viewOf(
  row: HostRolloutRow,
  hosts: readonly HostRow[],
  progress: readonly RolloutHostRow[],
): HostRolloutView {
  const labels = JSON.parse(row.labels) as string[];
  const known = new Map(progress.map((each) => [each.host_id, each]));
  return {
    ...{ what: row.what, value: row.value, labels, state: row.state },
    ...{ rings: JSON.parse(row.rings) as number[], ring: row.ring, atOnce: row.at_once },
    ...{ soak: Number(row.soak_ms), reason: row.reason ?? undefined },
    ...{ startedAt: Number(row.started_at), updatedAt: Number(row.updated_at) },
    hosts: hosts
      .filter((host) => known.has(host.id) || isFor(host, labels))
      .map((host) => ({
        name: host.name,
        state: known.get(host.id)?.state ?? 'waiting',
        has: valueOf(host, row.what),
        detail: known.get(host.id)?.detail ?? undefined,
      })),
  };
}
