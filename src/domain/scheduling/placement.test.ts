import assert from 'node:assert/strict';
import { test } from 'node:test';
import { facts, host, job, NOW, pool, view, worker } from '../../../test/fleet-view.ts';
import type { HostStatus, Reservation, WorkerStatus } from './fleet-view.ts';
import { decideFleet, type FleetAction } from './decide.ts';
import { explainJob } from './explain.ts';

const base = pool('default');

function assigned(actions: readonly FleetAction[]): string[] {
  return actions.flatMap((action) => (action.type === 'assign' ? [action.jobId] : []));
}

function hostsOf(actions: readonly FleetAction[]): string[] {
  return actions.flatMap((action) => (action.type === 'create' ? [action.hostId] : []));
}

function used(name: string, workers: number): WorkerStatus[] {
  return Array.from({ length: workers }, (_, n) =>
    worker(`w-${name}-${n}`, base, { hostId: name, goal: 'run', state: 'running', jobId: 'x' }),
  );
}

test('a pool that packs takes the host with the least room that has some', () => {
  const fleet = {
    hosts: [host('a'), host('b'), host('c')],
    workers: [...used('a', 4), ...used('b', 3)],
    queued: [job('j')],
  };
  const packed = pool('default', { placement: 'pack' });
  assert.deepEqual(hostsOf(decideFleet(view({ ...fleet, pools: [packed] }))), ['b']);
  assert.deepEqual(hostsOf(decideFleet(view({ ...fleet, pools: [base] }))), ['c']);
});

test('of hosts with the same room the one that failed less is taken, then the one used less', () => {
  const chosen = (hosts: HostStatus[]) =>
    hostsOf(decideFleet(view({ pools: [base], hosts, queued: [job('j')] })));
  assert.deepEqual(chosen([host('a', { failures: 1 }), host('b', { wear: 9 })]), ['b']);
  assert.deepEqual(chosen([host('a', { wear: 10 }), host('b', { wear: 9 })]), ['b']);
});

test('a job that asks for a host runs there or waits, and says so', () => {
  const workers = [worker('w-a', base)];
  const wanted = { ...job('j'), host: 'b' };
  const fleet = view({
    ...{ pools: [base], hosts: [host('a'), host('b')], workers },
    queued: [wanted, job('k')],
  });
  const actions = decideFleet(fleet);
  assert.deepEqual([assigned(actions), hostsOf(actions)], [['k'], ['b']]);
  const full = view({ ...fleet, hosts: [host('a'), host('b', { state: 'draining' })] });
  assert.deepEqual(hostsOf(decideFleet(full)), []);
  const reasons = explainJob(full, wanted).pools[0]?.hosts.map(({ reason }) => reason) ?? [];
  assert.match(reasons[0] ?? '', /the job asks for host b/);
  assert.match(reasons[1] ?? '', /it is draining/);
});

test('workers with limits share a host as far as its memory and cores go', () => {
  const big = pool('default', { limits: { memoryBytes: 6 * 2 ** 30 } });
  const queued = ['1', '2', '3'].map((id) => job(id));
  const fleet = view({ pools: [big], hosts: [host('a')], queued });
  assert.equal(hostsOf(decideFleet(fleet)).length, 2);
  const huge = pool('default', { limits: { cpus: 64 } });
  const one = view({ ...fleet, pools: [huge] });
  assert.equal(hostsOf(decideFleet(one)).length, 1, 'a host that is empty takes one of any size');
  const [first] = decideFleet(one);
  assert.ok(first?.type === 'create');
  const taken = worker('w', huge, { limits: { cpus: 64 }, goal: 'run', state: 'running' });
  const why = explainJob(view({ ...one, workers: [taken] }), job('2')).summary;
  assert.match(why, /64 of its 4 cores are in use/);
});

test('nothing starts on a host that is closed, with the reason', () => {
  const closed = 'it is in the maintenance window patches';
  const fleet = view({ pools: [base], hosts: [host('a', { closed })], queued: [job('j')] });
  assert.deepEqual(decideFleet(fleet), []);
  assert.match(explainJob(fleet, job('j')).summary, /maintenance window patches/);
});

test('what is reserved for a team is left to it, and others are told why they wait', () => {
  const reservation: Reservation = { name: 'release', pool: 'default', team: 'core', workers: 3 };
  const workers = ['1', '2', '3', '4'].map((id) => worker(`w${id}`, base));
  const others = ['1', '2'].map((id) => ({ ...job(id), team: 'other' }));
  const fleet = view({
    ...{ pools: [base], hosts: [host('a')], workers, reservations: [reservation] },
    queued: others,
  });
  assert.deepEqual(assigned(decideFleet(fleet)), ['1']);
  const running = [{ id: '1', team: 'other', pool: 'default' }];
  const core = [...others.slice(1), { ...job('3'), team: 'core' }, { ...job('4'), team: 'core' }];
  const later = view({ ...fleet, workers: workers.slice(1), queued: core, running });
  assert.deepEqual(assigned(decideFleet(later)), ['3', '4']);
  const small = view({ ...later, pools: [pool('default', { max: 4 })] });
  const why = explainJob(small, core[0] ?? job('2')).summary;
  assert.match(why, /3 of its workers are reserved for team core \(release\)/);
});

test('a team at its quota gets nothing made, and its jobs say so', () => {
  const teams = new Map([['web', { weight: 1, quota: 1 }]]);
  const queued = [{ ...job('j'), team: 'web' }];
  const running = [{ id: 'x', team: 'web', pool: 'default' }];
  const fleet = view({ pools: [base], hosts: [host('a')], teams, queued, running });
  assert.deepEqual(decideFleet(fleet), []);
  assert.match(explainJob(fleet, queued[0] ?? job('j')).summary, /its quota is 1/);
});

test('an idle worker beyond its soft age goes when it is not the last, one at a time', () => {
  const young = pool('default', { ready: 2, softAgeMs: 1000, hardAgeMs: 5000 });
  const old = (id: string, age: number) => worker(id, young, { createdAt: NOW - age });
  const fleet = (...workers: WorkerStatus[]) =>
    decideFleet(view({ pools: [young], hosts: [host('a')], workers }));
  const [first, ...rest] = fleet(old('w1', 2000), old('w2', 2000));
  assert.deepEqual(first, { type: 'destroy', workerId: 'w1', reason: 'it reached its soft age' });
  assert.deepEqual(
    rest.map(({ type }) => type),
    ['create'],
  );
  const coming = worker('w3', young, { state: 'booting', readyAt: undefined });
  assert.deepEqual(fleet(coming, old('w2', 2000)), []);
  const hard = fleet(old('w1', 6000), old('w2', 6000));
  assert.equal(hard.filter(({ type }) => type === 'destroy').length, 2);
});

test('a worker that goes already makes room for a waiting job: no other has to go', () => {
  const other = pool('other');
  const full = facts({ capacity: { workers: 1, macosVms: 0 } });
  const hosts = [host('a', { facts: full }), host('b', { facts: full })];
  const leaving = worker('w1', other, { goal: 'destroyed' });
  const idle = worker('w2', other, { hostId: 'b' });
  const fleet = { pools: [base, other], hosts, queued: [job('j')] };
  assert.deepEqual(decideFleet(view({ ...fleet, workers: [leaving, idle] })), []);
  const [made] = decideFleet(view({ ...fleet, workers: [idle] }));
  assert.equal(made?.type, 'create');
  const busy = worker('w1', other, { goal: 'run', state: 'running', jobId: 'x' });
  const [room] = decideFleet(view({ ...fleet, workers: [busy, idle] }));
  assert.deepEqual([room?.type, room?.type === 'destroy' && room.workerId], ['destroy', 'w2']);
});
