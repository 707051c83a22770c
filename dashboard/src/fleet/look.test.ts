import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LiveHost } from '../api/live-store.ts';
import { filterHosts, groupHosts, groupKeys, hostState, jobState } from './look.ts';

function host(name: string, more: Partial<LiveHost> = {}): LiveHost {
  return {
    ...{ name, state: 'active', online: true, labels: ['macos', 'rack=1'], slots: 2 },
    ...{ images: ['macos-26'], tasks: [], alarms: [], drift: [], ...more },
  };
}

const FLEET = [
  host('mini-1'),
  host('mini-2', { state: 'draining', labels: ['macos', 'rack=2'] }),
  host('studio-1', { online: false, alarms: ['Its agent is not connected.'], images: [] }),
];
const names = (hosts: readonly LiveHost[]) => hosts.map(({ name }) => name);

test('a filter shows the hosts that are all of what it says', () => {
  assert.equal(filterHosts(FLEET, {}), FLEET, 'nothing is made anew without a filter');
  assert.deepEqual(names(filterHosts(FLEET, { q: 'MINI rack=2' })), ['mini-2']);
  assert.deepEqual(names(filterHosts(FLEET, { q: 'not connected' })), ['studio-1']);
  assert.deepEqual(names(filterHosts(FLEET, { state: 'offline' })), ['studio-1']);
  assert.deepEqual(names(filterHosts(FLEET, { state: 'draining', image: 'macos-26' })), ['mini-2']);
  assert.deepEqual(names(filterHosts(FLEET, { trouble: 'alarms' })), ['studio-1']);
});

test('hosts are grouped by their state, or by a key of their labels', () => {
  const groups = groupHosts(FLEET, 'rack').map(({ name, hosts }) => [name, names(hosts)]);
  assert.deepEqual(groups, [
    ['rack=1', ['mini-1', 'studio-1']],
    ['rack=2', ['mini-2']],
  ]);
  assert.deepEqual(groupKeys(FLEET), ['rack']);
  assert.equal(groupHosts(FLEET, undefined).length, 1);
  assert.deepEqual(
    groupHosts(FLEET, 'floor').map(({ name }) => name),
    ['no floor'],
  );
});

test('a host that is at work on itself says so, before anything else', () => {
  const rebooting = host('m', { online: false, task: { kind: 'reboot', given: true } });
  assert.deepEqual(hostState(rebooting), { tone: 'busy', word: 'rebooting' });
  assert.equal(hostState(host('m', { online: false })).word, 'offline');
});

test('a job that is being cancelled is told apart from one that runs', () => {
  assert.equal(jobState({ state: 'running', cancelRequested: true }).word, 'cancelling');
  assert.equal(jobState({ state: 'assigned', cancelRequested: false }).word, 'starting');
  assert.equal(
    jobState({ state: 'finished', outcome: 'timed-out', cancelRequested: true }).word,
    'timed-out',
  );
});
