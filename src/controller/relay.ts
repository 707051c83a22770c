import { z } from 'zod';
import type { Database, Queryable } from '../db/database.ts';
import { ANYTHING, changeOf, type Change, type ChangeBus } from './change-bus.ts';

const CHANNEL = 'pomona';
/** PostgreSQL takes 8,000 bytes. */
const MOST_BYTES = 7_000;

const noteSchema = z.strictObject({
  from: z.string(),
  hosts: z.array(z.string()),
  rows: z.array(
    z.strictObject({
      kind: z.enum(['job', 'worker', 'host', 'pool', 'integration', 'host-rollout']),
      subject: z.string(),
    }),
  ),
  all: z.boolean(),
});

/** Has the other controllers told of a change, once its transaction is committed. */
export async function tellOthers(
  db: Database,
  tx: Queryable,
  from: string,
  { hosts, rows }: Pick<Change, 'hosts' | 'rows'>,
): Promise<void> {
  if (!db.shared) return;
  const note = JSON.stringify({ from, hosts: [...hosts], rows, all: false });
  const anything = JSON.stringify({ from, hosts: [], rows: [], all: true });
  await db.tell(tx, CHANNEL, Buffer.byteLength(note) > MOST_BYTES ? anything : note);
}

/** Publishes here what other controllers change. */
export function hearOthers(db: Database, me: string, bus: ChangeBus): { close(): Promise<void> } {
  return db.listen(
    CHANNEL,
    (text) => {
      const note = parseNote(text);
      // What is not understood may be anything.
      if (note === undefined) return bus.publish(ANYTHING);
      const { from, hosts, rows, all } = note;
      if (from !== me) bus.publish(all ? ANYTHING : changeOf(hosts, rows));
    },
    () => bus.publish(ANYTHING),
  );
}

/** Whoever may use the database may tell anything. */
function parseNote(text: string): z.output<typeof noteSchema> | undefined {
  try {
    return noteSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
