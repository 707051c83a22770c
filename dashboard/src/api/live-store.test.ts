import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Live } from '../../../src/protocol/api/live-resources.ts';
import { LiveStore, type LiveHost, type WorkerView } from './live-store.ts';

function host(name: string, state: LiveHost['state'] = 'active'): LiveHost {
  return {
    ...{ name, state, online: true, labels: [], slots: 1, images: [], tasks: [] },
    ...{ alarms: [], drift: [] },
  };
}

function worker(id: string, hostName: string, state: WorkerView['state'] = 'ready'): WorkerView {
  return {
    ...{ id, name: id, pool: 'p', hostName, state, goal: 'ready', epoch: 1, driver: 'd' },
    ...{ image: 'i', consoles: [], createdAt: 0, updatedAt: 0 },
  };
}

function live(more: Partial<Live>): Live {
  const gone = { hosts: [], workers: [], jobs: [] };
  return { all: false, hosts: [], workers: [], jobs: [], gone, touched: [], ...more };
}

test('what did not change stays the same object, also when all is told again', () => {
  const store = new LiveStore();
  const all = () => live({ all: true, hosts: [host('a'), host('b')], workers: [worker('w', 'a')] });
  store.take(all());
  const [hosts, a, of] = [store.hosts.list(), store.hosts.get('a'), store.workersOf('a')];
  store.take(all());
  assert.equal(store.hosts.list(), hosts);
  store.take(live({ hosts: [host('b', 'draining')], workers: [worker('v', 'b')] }));
  assert.notEqual(store.hosts.list(), hosts);
  assert.equal(store.hosts.get('a'), a);
  assert.equal(store.workersOf('a'), of, 'workers of another host did not change');
  assert.equal(store.workersOf('b').length, 1);
});

test('what is gone is gone, told alone or by not being in all there is', () => {
  const store = new LiveStore();
  store.take(live({ all: true, hosts: [host('a'), host('b'), host('c')] }));
  store.take(live({ gone: { hosts: ['a'], workers: [], jobs: [] } }));
  store.take(live({ all: true, hosts: [host('c')] }));
  assert.deepEqual(
    store.hosts.list().map(({ name }) => name),
    ['c'],
  );
});

test('readers are told once for each message, and of what else changed by its kind', () => {
  const store = new LiveStore();
  const touched: (readonly string[])[] = [];
  let told = 0;
  store.listen(() => (told += 1));
  store.onTouched((kinds) => touched.push(kinds));
  store.take(live({ all: true, hosts: [host('a'), host('b')] }));
  store.take(live({ hosts: [host('a', 'cordoned')], touched: ['pool'] }));
  assert.equal(told, 2);
  assert.deepEqual(touched, [['all'], ['pool']]);
  assert.equal(store.status, 'live');
});
