import assert from 'node:assert/strict';
import { test } from 'node:test';
import { facts, host, job, NOW, pool, view, worker } from '../../../test/fleet-view.ts';
import { decideFleet } from './decide.ts';
import { explainJob } from './explain.ts';

const base = pool('default', { ready: 1 });

test('a cordoned host keeps its idle workers, and no job gets them', () => {
  const idle = worker('w1', base);
  const cordoned = host('a', { state: 'cordoned' });
  const fleet = view({ pools: [base], hosts: [cordoned], workers: [idle], queued: [job('j')] });
  assert.deepEqual(decideFleet(fleet), []);
  assert.match(explainJob(fleet, job('j')).summary, /it is cordoned; `pomona host resume a`/);
});

test('nor do jobs get idle workers of a host in maintenance, and others are kept ready instead', () => {
  const closed = host('a', { closed: 'it is in the maintenance window patches' });
  const fleet = { pools: [base], hosts: [closed, host('b')], workers: [worker('w1', base)] };
  const actions = decideFleet(view(fleet));
  assert.deepEqual(
    actions.map((action) => action.type === 'create' && action.hostId),
    ['b'],
  );
});

test('what still runs on a host when it is to be empty is given up', () => {
  const running = worker('w1', base, { state: 'running', goal: 'run', jobId: 'j' });
  const draining = (drainBy: number) =>
    view({ pools: [], hosts: [host('a', { state: 'draining', drainBy })], workers: [running] });
  assert.deepEqual(decideFleet(draining(NOW + 1)), []);
  const [action] = decideFleet(draining(NOW));
  assert.equal(action?.type, 'lose');
});

test('a retiring host is forgotten once it is empty', () => {
  const retiring = host('a', { state: 'retiring' });
  const gone = { type: 'host', hostId: 'a', from: 'retiring', to: 'gone', reason: 'it is retired' };
  assert.deepEqual(decideFleet(view({ hosts: [retiring] })), [gone]);
  const busy = worker('w1', base, { state: 'running', goal: 'run', jobId: 'j' });
  assert.deepEqual(decideFleet(view({ pools: [base], hosts: [retiring], workers: [busy] })), []);
});

test('a quarantined host is tried again when its time is over, or waits for a person', () => {
  const until = (quarantinedUntil: number) =>
    decideFleet(view({ hosts: [host('a', { state: 'quarantined', quarantinedUntil })] }));
  assert.deepEqual(until(NOW + 1), []);
  assert.equal(until(NOW)[0]?.type, 'host');
  assert.deepEqual(decideFleet(view({ hosts: [host('a', { state: 'quarantined' })] })), []);
});

const asked = { id: 't-1', kind: 'reboot', given: false } as const;

test('a host that is to reboot is emptied first: idle workers go, jobs end, nothing starts', () => {
  const idle = worker('w1', base);
  const busy = worker('w2', base, { state: 'running', goal: 'run', jobId: 'j' });
  const hosts = [host('a', { task: asked, closed: 'it is to reboot' })];
  const fleet = view({ pools: [base], hosts, workers: [idle, busy] });
  assert.deepEqual(decideFleet(fleet), [
    { type: 'destroy', workerId: 'w1', reason: 'host a is to reboot' },
  ]);
  const late = view({ ...fleet, hosts: [host('a', { task: { ...asked, drainBy: NOW } })] });
  assert.ok(decideFleet(late).some((action) => action.type === 'lose'));
});

test('an agent that is to restart keeps its idle workers', () => {
  const hosts = [host('a', { task: { ...asked, kind: 'restart', given: true }, closed: 'busy' })];
  assert.deepEqual(decideFleet(view({ pools: [base], hosts, workers: [worker('w1', base)] })), []);
});

test('an empty host is told what to do, once it is there', () => {
  const given = { type: 'task', hostId: 'a', taskId: 't-1', to: 'given' };
  assert.deepEqual(decideFleet(view({ hosts: [host('a', { task: asked })] })), [given]);
  const away = host('a', { task: asked, online: false, silentForMs: 1 });
  assert.deepEqual(decideFleet(view({ hosts: [away] })), []);
});

test('what a host does not say the end of failed when its time is over', () => {
  const at = (endBy: number) =>
    decideFleet(view({ hosts: [host('a', { task: { ...asked, given: true, endBy } })] }));
  assert.deepEqual(at(NOW + 1), []);
  assert.deepEqual(at(NOW), [{ type: 'task', hostId: 'a', taskId: 't-1', to: 'failed' }]);
});

test('a quarantine goes on until the repair is over', () => {
  const quarantined = { state: 'quarantined', quarantinedUntil: NOW } as const;
  const mending = host('a', { ...quarantined, task: { ...asked, given: true, endBy: NOW + 1 } });
  assert.deepEqual(decideFleet(view({ hosts: [mending] })), []);
});

test('a rented host retires when its time is over', () => {
  const rented = (endsAt: number) => view({ hosts: [host('a', { facts: facts({ endsAt }) })] });
  assert.deepEqual(decideFleet(rented(NOW + 1)), []);
  const [action] = decideFleet(rented(NOW));
  assert.deepEqual([action?.type, action?.type === 'host' && action.to], ['host', 'retiring']);
});

test('a host that is out of touch is told once, also one without workers', () => {
  const away = { online: false, silentForMs: 70_000, session: 3 } as const;
  const told = (lostTold: boolean) =>
    decideFleet(view({ hosts: [host('a', { ...away, lostTold })] }));
  const reason = 'host a has been out of touch for 70 s';
  assert.deepEqual(told(false), [{ type: 'host-lost', hostId: 'a', session: 3, reason }]);
  assert.deepEqual(told(true), []);
  const never = host('a', { ...away, session: 0, lostTold: false });
  assert.deepEqual(decideFleet(view({ hosts: [never] })), []);
});
