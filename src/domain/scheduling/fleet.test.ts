import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { facts, host, NOW, pool, view, worker } from '../../../test/fleet-view.ts';
import type { WorkerGoal, WorkerState } from '../worker.ts';
import { decide } from './decide.ts';
import { Fleet } from './fleet.ts';
import type { FleetView, HostStatus, QueuedJob, RunningJob, WorkerStatus } from './fleet-view.ts';

const POOLS = [
  pool('default', { ready: 1 }),
  pool('big', { max: 3, limits: { memoryBytes: 2 ** 33 } }),
  pool('macs', { kind: 'vm', vm: 'synthetic', guest: 'macos', ready: 1, placement: 'pack' }),
];
const TEAMS = new Map([['a', { weight: 2, quota: 2 }]]);

const id = (prefix: string, most: number) =>
  fc.integer({ min: 0, max: most }).map((n) => `${prefix}${n}`);
const change = fc.oneof(
  fc.record({
    what: fc.constant('host' as const),
    id: id('h', 4),
    state: fc.constantFrom('active' as const, 'active' as const, 'draining' as const),
    online: fc.boolean(),
    workers: fc.integer({ min: 0, max: 4 }),
    silentForMs: fc.constantFrom(10, 70_000),
    wear: fc.integer({ min: 0, max: 2 }),
  }),
  fc.record({
    what: fc.constant('worker' as const),
    id: id('w', 9),
    host: id('h', 4),
    pool: fc.integer({ min: 0, max: POOLS.length - 1 }),
    state: fc.constantFrom<WorkerState>('requested', 'booting', 'ready', 'running', 'failed'),
    goal: fc.constantFrom<WorkerGoal>('ready', 'ready', 'run', 'destroyed'),
    readyAt: fc.integer({ min: NOW - 20_000, max: NOW }),
  }),
  fc.record({
    what: fc.constant('job' as const),
    id: id('j', 9),
    pool: fc.constantFrom(undefined, 'big', 'macs'),
    team: fc.constantFrom('', 'a', 'b'),
    host: fc.constantFrom(undefined, 'h1'),
    running: fc.boolean(),
  }),
  fc.record({ what: fc.constant('gone' as const), id: fc.oneof(id('w', 9), id('j', 9)) }),
);

/** The rows themselves, from which the other fleet is read at once. */
class Rows {
  readonly hosts = new Map<string, HostStatus>();
  readonly workers = new Map<string, WorkerStatus>();
  readonly queued = new Map<string, QueuedJob>();
  readonly running = new Map<string, RunningJob>();

  view(): FleetView {
    return view({
      ...{ pools: POOLS, teams: TEAMS, hosts: [...this.hosts.values()] },
      ...{ workers: [...this.workers.values()], queued: [...this.queued.values()] },
      running: [...this.running.values()],
    });
  }
}

test('a fleet kept row by row decides as one that is read at once, and deciding changes nothing', () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
      const rows = new Rows();
      const kept = new Fleet({ teams: TEAMS, reservations: [] });
      for (const each of POOLS) kept.setPool(each, undefined);
      for (const each of changes) {
        switch (each.what) {
          case 'host': {
            const { state, online, wear } = each;
            const capacity = { workers: each.workers, macosVms: 2 };
            const silentForMs = online ? 0 : each.silentForMs;
            const status = host(each.id, {
              ...{ state, online, silentForMs, wear, facts: facts({ capacity }) },
            });
            rows.hosts.set(each.id, status);
            kept.setHost(status);
            break;
          }
          case 'worker': {
            // What hosts are there is known before their workers.
            if (!rows.hosts.has(each.host)) continue;
            const of = POOLS[each.pool] ?? assert.fail();
            const status = worker(each.id, of, {
              ...{ hostId: each.host, state: each.state, goal: each.goal },
              ...{ readyAt: each.state === 'ready' ? each.readyAt : undefined },
              macosVm: of.kind === 'vm',
            });
            rows.workers.set(each.id, status);
            kept.setWorker(status);
            break;
          }
          case 'job': {
            const { team } = each;
            rows.queued.delete(each.id);
            rows.running.delete(each.id);
            if (each.running) {
              const running = { id: each.id, team, pool: each.pool ?? 'default' };
              rows.running.set(each.id, running);
              kept.setRunning(running);
            } else {
              const queued = { id: each.id, pool: each.pool, labels: [], team, host: each.host };
              rows.queued.set(each.id, queued);
              kept.setQueued(queued);
            }
            break;
          }
          case 'gone':
            rows.workers.delete(each.id);
            rows.queued.delete(each.id);
            rows.running.delete(each.id);
            if (each.id.startsWith('w')) kept.removeWorker(each.id);
            else kept.removeJob(each.id);
        }
        const now = rows.view();
        const once = decide(kept, now);
        assert.deepEqual(sorted(once), sorted(decide(Fleet.of(now), now)));
        assert.deepEqual(sorted(decide(kept, now)), sorted(once));
      }
    }),
    { numRuns: 300 },
  );
});

test('a host that was heard of between two looks, and is away again, is lost no more', () => {
  const kept = new Fleet({ teams: TEAMS, reservations: [] });
  const base = POOLS[0] ?? assert.fail();
  kept.setPool(base, undefined);
  const away = (silentForMs: number) =>
    host('a', { online: false, silentForMs, state: 'draining' });
  kept.setHost(away(70_000));
  kept.setWorker(worker('w0', base));
  assert.equal(decide(kept, view({}))[0]?.type, 'lose');
  kept.setHost(away(10));
  assert.equal(decide(kept, view({}))[0]?.type, 'destroy');
});

/** Workers of one host are retired and lost in no order that matters. */
function sorted(actions: readonly object[]): string[] {
  return actions.map((action) => JSON.stringify(action)).toSorted();
}
