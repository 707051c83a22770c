import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { ControllerFixture } from '../../../test/controller-fixture.ts';
import type { Live } from '../../protocol/api/live-resources.ts';
import { setHostState } from '../../db/queries/hosts.ts';
import { change } from '../context.ts';
import { HostLinks } from '../host-links.ts';
import { LiveFleet } from './live-fleet.ts';

/** What a page is told, one after the other. */
class Told {
  readonly #waiting: Live[] = [];
  #wake: (() => void) | undefined;

  readonly listener = (event: string): void => {
    this.#waiting.push(JSON.parse(event.replace(/^data: /, '')) as Live);
    this.#wake?.();
  };

  get count(): number {
    return this.#waiting.length;
  }

  async next(): Promise<Live> {
    while (this.#waiting.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const first = this.#waiting.shift();
    assert.ok(first !== undefined);
    return first;
  }
}

async function followed(t: TestContext) {
  const fixture = await ControllerFixture.make(t);
  const live = new LiveFleet(fixture.context, new HostLinks(fixture.context.clock));
  t.after(() => live.close());
  const told = new Told();
  const stop = await live.subscribe(told.listener);
  t.after(stop);
  return { fixture, live, told };
}

test('a page is told all there is first, and then only what changes', async (t) => {
  const { fixture, told } = await followed(t);
  const all = await told.next();
  assert.equal(all.all, true);
  assert.deepEqual(
    all.hosts.map(({ name }) => name),
    ['mac-1'],
  );
  const { jobId, workerId } = await fixture.assigned();
  const seen = { jobs: new Set<string>(), workers: new Set<string>() };
  while (!seen.jobs.has(jobId) || !seen.workers.has(workerId)) {
    const { jobs, workers, hosts, all: isAll } = await told.next();
    assert.equal(isAll, false);
    assert.deepEqual(hosts, [], 'a host that did not change is not told of');
    for (const { id } of jobs) seen.jobs.add(id);
    for (const { id } of workers) seen.workers.add(id);
  }
});

test('a worker that is gone is told to be gone, once', async (t) => {
  const { fixture, told } = await followed(t);
  await told.next();
  const workerId = await fixture.readyWorker();
  await told.next();
  await fixture.saw({ id: workerId, state: 'destroyed' });
  let gone: readonly string[] = [];
  while (gone.length === 0) ({ workers: gone } = (await told.next()).gone);
  assert.deepEqual(gone, [workerId]);
});

test('an event that changes nothing that is shown is not told', async (t) => {
  const { fixture, told } = await followed(t);
  await told.next();
  await change(fixture.context, ({ event }) => event('host', 'mac-1', 'online'));
  await change(fixture.context, async ({ tx, event }) => {
    await setHostState(tx, fixture.hostId, { state: 'cordoned', reason: 'by hand' });
    await event('host', 'mac-1', 'cordoned');
  });
  const { hosts } = await told.next();
  assert.deepEqual(
    hosts.map(({ state }) => state),
    ['cordoned'],
  );
  assert.equal(told.count, 0);
});

test('what else changed is named by its kind', async (t) => {
  const { fixture, told } = await followed(t);
  await told.next();
  await change(fixture.context, ({ event }) => event('integration', 'gh', 'paused'));
  assert.deepEqual((await told.next()).touched, ['integration']);
});
