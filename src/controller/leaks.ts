import { listHosts } from '../db/queries/hosts.ts';
import { findConsole } from '../db/queries/consoles.ts';
import { findJob } from '../db/queries/jobs.ts';
import { listLeaks, saveLeaks, type LeakRow } from '../db/queries/leaks.ts';
import { LEAK_GRACE_MS, type Leak } from '../domain/leak.ts';
import type { LeakView } from '../protocol/api/host-resources.ts';
import type { Context } from './context.ts';
import type { Kept } from './logs/retention.ts';

/** What was found that belongs to nothing: told by agents, integrations and retention. */

export const hostSource = (hostId: string) => `host ${hostId}`;
export const integrationSource = (name: string) => `integration ${name}`;
const FILES_SOURCE = 'files';
/** Nothing waits for their room, and what they say is gone for good. */
const FILES_GRACE_MS = 24 * 3_600_000;
/** So few orphans are no sign of anything else. */
const BELIEVED = 10;

/** Tells the database of the leaks of one source, when they are others than it was told of last. */
export class LeakTeller {
  readonly #context: Context;
  readonly #source: string;
  #told: string | undefined;

  constructor(context: Context, source: string) {
    this.#context = context;
    this.#source = source;
  }

  async tell(leaks: readonly Leak[]): Promise<void> {
    const text = JSON.stringify(leaks);
    if (text === this.#told) return;
    await this.#context.db.transaction((tx) => saveLeaks(tx, this.#source, leaks));
    this.#told = text;
  }
}

/** All leaks there are, with the place where each was found. */
export async function leakViews({ db }: Context): Promise<LeakView[]> {
  const hosts = new Map((await listHosts(db)).map(({ id, name }) => [hostSource(id), name]));
  return (await listLeaks(db)).map((row) => ({
    where: whereOf(row, hosts),
    ...{ kind: row.kind, name: row.name, since: Number(row.since) },
    removedAt: Number(row.since) + (row.source === FILES_SOURCE ? FILES_GRACE_MS : LEAK_GRACE_MS),
    problem: row.problem ?? undefined,
  }));
}

function whereOf({ source }: LeakRow, hosts: ReadonlyMap<string, string>): string {
  const host = hosts.get(source);
  if (host !== undefined) return `host ${host}`;
  return source === FILES_SOURCE ? 'the files of the controllers' : source;
}

/** Where files of jobs are kept. */
interface JobFiles {
  list(): AsyncIterable<Kept<string>>;
  remove(jobId: string): Promise<void>;
}

/**
 * Removes files of jobs that nobody knows of, a day after they were first seen. When they are most of
 * what there is, none goes: then it is the database that is the wrong one.
 */
export async function removeOrphanFiles(
  { db, clock, log }: Context,
  shelves: Readonly<Record<string, JobFiles>>,
): Promise<void> {
  const now = clock.now();
  const before = new Map(
    (await listLeaks(db))
      .filter(({ source }) => source === FILES_SOURCE)
      .map(({ kind, name, since }) => [`${kind}/${name}`, Number(since)]),
  );
  const leaks: Leak[] = [];
  for (const [kind, shelf] of Object.entries(shelves)) {
    const orphans: string[] = [];
    let all = 0;
    for await (const { id } of shelf.list()) {
      all += 1;
      const owner = (await findJob(db, id)) ?? (await findConsole(db, id));
      if (owner === undefined) orphans.push(id);
    }
    const problem =
      orphans.length > Math.max(BELIEVED, all / 2)
        ? `${orphans.length} of ${all} belong to no job: is this the right database?`
        : undefined;
    for (const name of orphans) {
      const since = before.get(`${kind}/${name}`) ?? now;
      if (problem === undefined && now - since >= FILES_GRACE_MS) {
        await shelf.remove(name);
        log.log('warn', 'files of no job are removed', { kind, name });
      } else leaks.push({ kind, name, since, ...(problem === undefined ? {} : { problem }) });
    }
  }
  await db.transaction((tx) => saveLeaks(tx, FILES_SOURCE, leaks));
}
