import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { poolSpecSchema } from '../../protocol/api/resources.ts';
import { explainRoute, matches, routeJob, standbyClass, type RouteRules } from './routes.ts';
import { DEFAULT_TRUST, trustOf } from './trust.ts';

const POOLS = [
  poolSpecSchema.parse({ name: 'macs', labels: ['macOS-15', 'ARM64'], max: 5 }),
  poolSpecSchema.parse({ name: 'strangers', labels: ['macos-15', 'arm64'], trust: 'untrusted' }),
  poolSpecSchema.parse({ name: 'builds', kind: 'build', labels: ['macos-15'] }),
];
const RULES: RouteRules = {
  ...{ integration: 'gh', routes: [], trust: DEFAULT_TRUST, impliedLabels: ['self-hosted'] },
  max: 100,
};
const PUSH = { name: 'push', fork: false };
const FORK = { name: 'pull_request', fork: true, author: 'stranger' };

function route(more: object) {
  return {
    ...{ labels: ['macos-15'], sources: [], pool: 'macs', priority: 0, max: 10, standby: 0 },
    ...more,
  };
}

test('without routes a pool is found by its own labels, whatever their case', () => {
  const job = { labels: ['Self-Hosted', 'macos-15', 'arm64'], source: 'acme/app', event: PUSH };
  const routed = routeJob(job, RULES, POOLS);
  assert.ok(routed.taken);
  assert.equal(routed.runnerClass.pool, 'macs');
  assert.deepEqual(routed.runnerClass.labels, ['self-hosted', 'macOS-15', 'ARM64']);
  assert.deepEqual(routed.runnerClass.limit, { id: 'macs|', max: 5 });
});

test('a label that no pool has says where it is missing', () => {
  const job = { labels: ['macos-16'], source: 'acme/app', event: PUSH };
  const { result, lines } = explainRoute(job, RULES, POOLS);
  assert.deepEqual(result, {
    taken: false,
    reason: 'no pool takes a trusted job with the labels macos-16',
  });
  assert.deepEqual(
    lines.map(({ reason }) => reason),
    ['it has no label macos-16', 'it has no label macos-16'],
  );
});

test('the code of a fork goes to a pool for strangers and to no other', () => {
  const job = { labels: ['macos-15'], source: 'acme/app', event: FORK };
  const routed = routeJob(job, RULES, POOLS);
  assert.ok(routed.taken && routed.runnerClass.pool === 'strangers');
  assert.equal(routed.runnerClass.trust, 'untrusted');
  assert.equal(routeJob(job, RULES, POOLS.slice(0, 1)).taken, false);
});

test('trusted code never goes to where strangers leave things', () => {
  const job = { labels: ['macos-15'], source: 'acme/app', event: PUSH };
  assert.equal(routeJob(job, RULES, POOLS.slice(1)).taken, false);
});

test('the first route whose sources and labels fit has the job', () => {
  const routes = [
    route({ sources: ['acme/secret-*'], team: 'secret' }),
    route({ sources: ['acme/*'], priority: 5, team: 'apps', max: 3 }),
    route({}),
  ];
  const rules = { ...RULES, routes };
  const at = (source: string) => {
    const routed = routeJob({ labels: ['macos-15'], source, event: PUSH }, rules, POOLS);
    return routed.taken ? routed.runnerClass : undefined;
  };
  assert.equal(at('acme/secret-plan')?.team, 'secret');
  assert.deepEqual([at('acme/app')?.team, at('acme/app')?.priority], ['apps', 5]);
  assert.equal(at('other/app')?.team, 'gh');
  assert.notEqual(at('acme/app')?.id, at('other/app')?.id);
});

test('a route that keeps runners without a job has a class that its jobs have, too', () => {
  const kept = route({ standby: 2 });
  const rules = { ...RULES, routes: [kept] };
  const standby = standbyClass(kept, rules, POOLS);
  const job = routeJob({ labels: ['macos-15'], source: 'acme/app', event: PUSH }, rules, POOLS);
  assert.ok(job.taken && standby !== undefined);
  assert.equal(standby.id, job.runnerClass.id);
  assert.equal(standby.standby, 2);
});

test('who is trusted is as the rules say', () => {
  const rules = { ...DEFAULT_TRUST, trustedAuthors: ['friend'], approvedForks: 'trusted' } as const;
  assert.equal(trustOf(FORK, rules).trust, 'untrusted');
  assert.equal(trustOf({ ...FORK, author: 'friend' }, rules).trust, 'trusted');
  assert.equal(trustOf({ ...FORK, approved: true }, rules).trust, 'trusted');
  assert.equal(trustOf({ ...FORK, approved: true }, DEFAULT_TRUST).trust, 'untrusted');
  assert.equal(trustOf({ name: 'unknown', fork: false }, DEFAULT_TRUST).trust, 'untrusted');
  assert.equal(trustOf(FORK, { ...rules, forks: 'refused' }).trust, 'refused');
});

test('a job that is refused says why', () => {
  const rules = { ...RULES, trust: { ...DEFAULT_TRUST, forks: 'refused' } } as const;
  assert.deepEqual(routeJob({ labels: [], source: '', event: FORK }, rules, POOLS), {
    taken: false,
    reason: 'jobs like it are refused: it is of a fork',
  });
});

test('patterns with stars are as regular expressions would have them', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '/', '-'), maxLength: 8 });
  const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '/', '*'), maxLength: 6 });
  fc.assert(
    fc.property(pattern, text, (glob, whole) => {
      const expected = new RegExp(`^${glob.replaceAll('*', '.*')}$`).test(whole);
      assert.equal(matches(glob, whole), expected, `${glob} on ${whole}`);
    }),
    { numRuns: 2_000 },
  );
});
