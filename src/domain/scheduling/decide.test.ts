import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_TALLY, type Rollout, type RolloutState } from '../rollout.ts';
import { SURPLUS_IDLE_MS, decideFleet } from './decide.ts';
import { explainJob } from './explain.ts';
import { hostHasRoom, hostSuits, noUsage, specFor, specKey } from './fit.ts';
import type { HostFacts } from '../host.ts';
import { facts, host, job, NOW, pool, view, worker } from '../../../test/fleet-view.ts';
import { backoffKey } from './fleet-view.ts';

const base = pool('default');

test('a waiting job gets the ready worker that waited longest', () => {
  const actions = decideFleet(
    view({
      pools: [base],
      hosts: [host('a')],
      workers: [worker('w2', base, { readyAt: 20 }), worker('w1', base, { readyAt: 10 })],
      queued: [job('j1')],
    }),
  );
  assert.deepEqual(
    actions.filter((action) => action.type === 'assign'),
    [{ type: 'assign', jobId: 'j1', workerId: 'w1' }],
  );
});

test('a waiting job without a ready worker gets one made, once', () => {
  const made = decideFleet(view({ pools: [base], hosts: [host('a')], queued: [job('j1')] }));
  assert.equal(made.length, 1);
  assert.equal(made[0]?.type, 'create');
  const coming = worker('w1', base, { state: 'booting', readyAt: undefined });
  const again = decideFleet(
    view({ pools: [base], hosts: [host('a')], workers: [coming], queued: [job('j1')] }),
  );
  assert.deepEqual(again, []);
});

test('a pool keeps as many workers ready as it says, besides those that jobs wait for', () => {
  const warm = pool('default', { ready: 2 });
  const actions = decideFleet(view({ pools: [warm], hosts: [host('a')], queued: [job('j1')] }));
  assert.deepEqual(
    actions.map((action) => action.type),
    ['create', 'create', 'create'],
  );
});

test('a pool never has more workers than its maximum, nor a host more than its capacity', () => {
  const small = pool('default', { max: 2 });
  const jobs = ['1', '2', '3', '4', '5', '6'].map((id) => job(id));
  assert.equal(decideFleet(view({ pools: [small], hosts: [host('a')], queued: jobs })).length, 2);
  assert.equal(decideFleet(view({ pools: [base], hosts: [host('a')], queued: jobs })).length, 4);
});

test('new workers go to the host with the most room', () => {
  const busy = host('a', { facts: facts({ capacity: { workers: 2, macosVms: 0 } }) });
  const actions = decideFleet(
    view({ pools: [base], hosts: [busy, host('b')], queued: [job('j1')] }),
  );
  assert.equal(actions[0]?.type === 'create' && actions[0].hostId, 'b');
});

test('at most two macOS guests run on a host', () => {
  const mac = pool('mac', { kind: 'vm', vm: 'synthetic', guest: 'macos' });
  const jobs = ['1', '2', '3'].map((id) => job(id, 'mac'));
  assert.equal(decideFleet(view({ pools: [mac], hosts: [host('a')], queued: jobs })).length, 2);
});

test('macOS guests that others run take slots, and are told as the reason', () => {
  const mac = pool('mac', { kind: 'vm', vm: 'synthetic', guest: 'macos' });
  const jobs = ['1', '2'].map((id) => job(id, 'mac'));
  const shared = host('a', { facts: facts({ macosSlots: { foreign: 1, leaked: false } }) });
  const fleet = view({ pools: [mac], hosts: [shared], queued: jobs });
  assert.equal(decideFleet(fleet).length, 1);
  const used = { ...noUsage(), workers: 1, macosVms: 1 };
  const spec = specFor(mac, facts());
  assert(spec.fits);
  const fit = hostHasRoom(shared, used, spec.spec);
  assert.match(fit.fits ? '' : fit.reason, /in use, 1 by machines that are not Pomona's/);
});

test('nothing is made on a host that has to be rebooted for a leaked slot', () => {
  const leaked = host('a', { facts: facts({ macosSlots: { foreign: 0, leaked: true } }) });
  assert.deepEqual(decideFleet(view({ pools: [base], hosts: [leaked], queued: [job('j')] })), []);
  const fit = hostSuits(view({ hosts: [leaked] }), base, leaked);
  assert.match(fit.fits ? '' : fit.reason, /slots has leaked; it drains, to be rebooted/);
});

test('an idle worker of another pool gives way to a waiting job, and is not made anew', () => {
  const warm = pool('warm', { ready: 1 });
  const full = host('a', { facts: facts({ capacity: { workers: 1, macosVms: 0 } }) });
  const actions = decideFleet(
    view({ pools: [base, warm], hosts: [full], workers: [worker('w1', warm)], queued: [job('j')] }),
  );
  assert.deepEqual(
    actions.map((action) => [action.type, 'workerId' in action && action.workerId]),
    [['destroy', 'w1']],
  );
});

test('nothing starts on a draining host and its idle workers go', () => {
  const draining = host('a', { state: 'draining' });
  const actions = decideFleet(
    view({ pools: [base], hosts: [draining], workers: [worker('w1', base)], queued: [job('j')] }),
  );
  assert.deepEqual(actions, [{ type: 'destroy', workerId: 'w1', reason: 'host a is draining' }]);
});

test('idle workers made from something else than the pool now says are replaced', () => {
  const changed = pool('default', { ready: 1, limits: { cpus: 1 } });
  const actions = decideFleet(
    view({ pools: [changed], hosts: [host('a')], workers: [worker('w1', base)] }),
  );
  assert.deepEqual(
    actions.map((action) => action.type),
    ['destroy', 'create'],
  );
});

test('a worker nobody needs is kept a little while, then goes', () => {
  const idle = worker('w1', base, { readyAt: NOW - SURPLUS_IDLE_MS + 1 });
  const fleet = { pools: [base], hosts: [host('a')], workers: [idle] };
  assert.deepEqual(decideFleet(view(fleet)), []);
  assert.equal(decideFleet(view({ ...fleet, now: NOW + 1 }))[0]?.type, 'destroy');
});

test('a job whose host is out of touch is given up only after the time-out', () => {
  const running = worker('w1', base, { state: 'running', goal: 'run', jobId: 'j' });
  const silent = (silentForMs: number) =>
    view({
      pools: [base],
      hosts: [host('a', { online: false, silentForMs })],
      workers: [running],
    });
  assert.deepEqual(decideFleet(silent(59_999)), []);
  assert.equal(decideFleet(silent(60_000))[0]?.type, 'lose');
});

test('a place where workers fail is left alone until its back-off ends', () => {
  const backoffs = new Map([
    [backoffKey('default', 'empty', 'a'), { until: NOW + 5000, failures: 3, reason: 'no disk' }],
  ]);
  const fleet = { pools: [base], hosts: [host('a')], queued: [job('j')], backoffs };
  assert.deepEqual(decideFleet(view(fleet)), []);
  assert.equal(decideFleet(view({ ...fleet, now: NOW + 5000 })).length, 1);
});

test('why a job waits is told for each pool and each host', () => {
  const fleet = view({
    pools: [base, pool('other')],
    hosts: [
      host('drained', { state: 'draining' }),
      host('full', { facts: facts({ capacity: { workers: 0, macosVms: 0 } }) }),
      host('gone', { online: false, silentForMs: 7000 }),
      host('bare', { facts: facts({ images: [] }) }),
    ],
  });
  const why = explainJob(fleet, job('j'));
  assert.match(why.summary, /^It is first in the queue; pool default: none of 4 hosts was chosen/);
  const reasons = why.pools[0]?.hosts.map((entry) => `${entry.host}: ${entry.reason}`) ?? [];
  assert.match(reasons[0] ?? '', /drained: it is draining/);
  assert.match(reasons[1] ?? '', /full: all its 0 workers are in use/);
  assert.match(reasons[2] ?? '', /gone: it is offline for 7 s/);
  assert.match(reasons[3] ?? '', /bare: its agent offers no empty image/);
  assert.equal(why.pools[1]?.fits, false);
});

test('a host that is chosen by no driver says which and why', () => {
  const why = explainJob(
    view({ pools: [pool('default', { sandbox: 'gvisor' })], hosts: [host('a')] }),
    job('j'),
  );
  assert.match(why.summary, /sandbox gvisor is not available there: runsc is not installed/);
});

const builds = pool('builds', { kind: 'build', labels: [] });
const builder = (name: string, hints: readonly string[], store = 'btrfs') =>
  host(name, { facts: facts({ builds: { store, hints } }) });
const build = (id: string, hints: readonly string[], store?: string) => ({
  ...job(id),
  build: { hints, ...(store === undefined ? {} : { store }) },
});

test('a build goes to the host that has the longest beginning of it, if it has room', () => {
  const hosts = [builder('a', ['x', '1']), builder('b', ['1', '2']), builder('c', [])];
  const made = (queued: readonly ReturnType<typeof build>[], all = hosts) =>
    decideFleet(view({ pools: [base, builds], hosts: all, queued })).map((action) =>
      action.type === 'create' ? [action.hostId, action.spec.pool] : action.type,
    );
  assert.deepEqual(made([build('j', ['1', '2', '3'])]), [['b', 'builds']]);
  const full = hosts.map((each) =>
    each.id === 'b'
      ? host('b', {
          facts: facts({
            builds: { store: 'btrfs', hints: ['1', '2'] },
            capacity: { workers: 0, macosVms: 0 },
          }),
        })
      : each,
  );
  assert.deepEqual(made([build('j', ['1', '2', '3'])], full), [['a', 'builds']]);
});

test('of builders that are ready, a build gets the one with most of its steps', () => {
  const spec = specFor(builds, builder('a', []).facts ?? facts());
  assert(spec.fits);
  const ready = ['a', 'b'].map((hostId) => ({
    ...worker(`w-${hostId}`, base, { hostId, readyAt: hostId === 'a' ? 1 : 2 }),
    ...{ pool: 'builds', specKey: specKey(spec.spec) },
  }));
  const actions = decideFleet(
    view({
      pools: [builds],
      hosts: [builder('a', []), builder('b', ['1'])],
      workers: ready,
      queued: [build('j', ['1', '2'])],
    }),
  );
  assert.deepEqual(
    actions.filter(({ type }) => type === 'assign'),
    [{ type: 'assign', jobId: 'j', workerId: 'w-b' }],
  );
});

test('a build that wants a kind of store waits for a host that has it, and is told so', () => {
  const fleet = view({ pools: [base, builds], hosts: [builder('a', [], 'copy')] });
  const wanted = build('j', [], 'zfs');
  assert.deepEqual(decideFleet({ ...fleet, queued: [wanted] }), []);
  const { summary } = explainJob(fleet, wanted);
  assert.match(summary, /wants to be built in a store zfs, and the host builds in copy/);
  const more = { ...fleet, hosts: [...fleet.hosts, builder('b', [], 'zfs')], queued: [wanted] };
  const [action] = decideFleet(more);
  assert.equal(action?.type === 'create' && action.hostId, 'b');
});

test('a builder that is coming serves one build, and no other jobs go to builders', () => {
  const coming = { ...worker('w', base, { state: 'booting', readyAt: undefined }), pool: 'builds' };
  const spec = specFor(builds, builder('a', []).facts ?? facts());
  assert(spec.fits);
  const fleet = view({
    pools: [builds],
    hosts: [builder('a', [])],
    workers: [{ ...coming, specKey: specKey(spec.spec) }],
    queued: [build('j1', []), build('j2', []), job('other', 'builds')],
  });
  assert.deepEqual(
    decideFleet(fleet).map(({ type }) => type),
    ['create'],
  );
  assert.match(explainJob(fleet, job('other', 'builds')).pools[0]?.reason ?? '', /for builds/);
});

const twoImages = facts({
  images: [
    { name: 'old', digest: 'sha256:01' },
    { name: 'new', digest: 'sha256:02' },
  ],
});
const rolling: Rollout = {
  ...{ pool: 'macs', from: 'old', to: 'new', state: 'running', stages: [25], stage: 0, trials: 9 },
  old: NO_TALLY,
  new: NO_TALLY,
};

test('a share of new workers is made from the image that is rolled out, where a host has it', () => {
  const macs = pool('macs', { image: 'old', ready: 8, max: 8 });
  const at = (hostFacts: HostFacts, state: RolloutState) =>
    decideFleet(
      view({
        pools: [macs],
        hosts: [host('a', { facts: { ...hostFacts, capacity: { workers: 8, macosVms: 0 } } })],
        rollouts: new Map([['macs', { ...rolling, state }]]),
      }),
    ).filter((action) => action.type === 'create' && action.spec.image.name === 'new').length;
  assert.equal(at(twoImages, 'running'), 2);
  assert.equal(at(twoImages, 'paused'), 0);
  assert.equal(at(facts({ images: [{ name: 'old', digest: 'sha256:01' }] }), 'running'), 0);
});

test('idle workers of the new image stay while it is rolled out, and go when it went back', () => {
  const macs = pool('macs', { image: 'old', ready: 1 });
  const spec = specFor({ ...macs, image: 'new' }, twoImages);
  assert.ok(spec.fits);
  const canary = worker('w', pool('x'), { pool: 'macs', specKey: specKey(spec.spec) });
  const destroyed = (state: RolloutState) =>
    decideFleet(
      view({
        pools: [macs],
        hosts: [host('a', { facts: twoImages })],
        workers: [canary],
        rollouts: new Map([['macs', { ...rolling, state }]]),
      }),
    ).some((action) => action.type === 'destroy');
  assert.deepEqual(
    [destroyed('running'), destroyed('paused'), destroyed('back')],
    [false, false, true],
  );
});

test('a roll-out whose workers fail is sent back, with the reason', () => {
  const macs = pool('macs', { image: 'old' });
  const failing = { ...rolling, new: { ...NO_TALLY, made: 3, failed: 3 } };
  const [action] = decideFleet(
    view({ pools: [macs], hosts: [], rollouts: new Map([['macs', failing]]) }),
  );
  assert.deepEqual(
    [action?.type, action?.type === 'rollout' && action.verdict.kind],
    ['rollout', 'back'],
  );
});

test('a host has one worker at a time of a pool with an exclusive volume, and says why', () => {
  const volumes = [
    { name: 'ccache', path: 'ccache', mode: 'exclusive', sizeBytes: 2 ** 30 },
  ] as const;
  const own = pool('default', { volumes });
  const hosts = [host('a'), host('b')];
  const queued = [job('1'), job('2'), job('3')];
  const made = decideFleet(view({ pools: [own], hosts, queued })).filter(
    ({ type }) => type === 'create',
  );
  assert.deepEqual(made.map((action) => action.type === 'create' && action.hostId).toSorted(), [
    'a',
    'b',
  ]);
  const workers = [worker('w', own, { state: 'running', goal: 'run' })];
  const fleet = view({ pools: [own], hosts: [host('a')], queued, workers });
  assert.deepEqual(decideFleet(fleet), []);
  assert.match(
    explainJob(fleet, job('1')).summary,
    /its volume ccache is in use by another worker/,
  );
  const strangers = specFor({ ...own, trust: 'untrusted' }, facts());
  assert.ok(strangers.fits && strangers.spec.trust === 'untrusted');
});
