import assert from 'node:assert/strict';
import { test } from 'node:test';
import { host, job, NOW, pool, view, worker } from '../../../test/fleet-view.ts';
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
