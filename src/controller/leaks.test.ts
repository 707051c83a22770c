import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControllerFixture } from '../../test/controller-fixture.ts';
import { leakViews, LeakTeller, hostSource, removeOrphanFiles } from './leaks.ts';

const DAY_MS = 24 * 3_600_000;

/** Files of jobs, by the ids of the jobs. */
function shelfOf(...ids: string[]) {
  const there = new Set(ids);
  return {
    there,
    async *list() {
      for (const id of there) yield { id, bytes: 1, at: 0 };
    },
    remove: async (id: string) => void there.delete(id),
  };
}

test('what a host found is told with the host’s name, until the host says that it is gone', async (t) => {
  const { context, hostId } = await ControllerFixture.make(t);
  const teller = new LeakTeller(context, hostSource(hostId));
  const leak = { kind: 'VM of tart', name: 'pomona-f00f00-w-1', since: 1_000 };
  await teller.tell([leak]);
  assert.deepEqual(await leakViews(context), [
    { where: 'host mac-1', ...leak, removedAt: 601_000, problem: undefined },
  ]);
  await teller.tell([{ ...leak, problem: 'it is busy' }]);
  assert.equal((await leakViews(context))[0]?.problem, 'it is busy');
  await teller.tell([]);
  assert.deepEqual(await leakViews(context), []);
});

test('files of jobs that nobody knows go after a day, those of jobs stay', async (t) => {
  const fixture = await ControllerFixture.make(t);
  const job = await fixture.job();
  const log = shelfOf(job, 'j-lost');
  await removeOrphanFiles(fixture.context, { log });
  const [leak] = await leakViews(fixture.context);
  assert.deepEqual([leak?.kind, leak?.name], ['log', 'j-lost']);
  fixture.time.wall += DAY_MS - 1;
  await removeOrphanFiles(fixture.context, { log });
  assert.equal(log.there.size, 2);
  fixture.time.wall += 1;
  await removeOrphanFiles(fixture.context, { log });
  assert.deepEqual([...log.there], [job]);
  assert.deepEqual(await leakViews(fixture.context), []);
});

test('where most files belong to no job the database is doubted, and nothing goes', async (t) => {
  const fixture = await ControllerFixture.make(t);
  const log = shelfOf(...Array.from({ length: 20 }, (_, n) => `j-${n}`));
  for (let day = 0; day < 3; day += 1) {
    await removeOrphanFiles(fixture.context, { log });
    fixture.time.wall += DAY_MS;
  }
  assert.equal(log.there.size, 20);
  const [leak] = await leakViews(fixture.context);
  assert.match(leak?.problem ?? '', /20 of 20 belong to no job: is this the right database\?/);
});
