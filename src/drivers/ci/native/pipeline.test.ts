import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSetOffBy, readPipeline } from './pipeline.ts';

function jobOf(text: string) {
  const pipeline = readPipeline(`jobs:\n  test:\n${text}`);
  assert.ok('jobs' in pipeline, JSON.stringify(pipeline));
  const { test: job } = pipeline.jobs;
  assert.ok(job !== undefined);
  return job;
}

test('a job is set off by pushes and pull requests, of any branch, unless it says otherwise', () => {
  const any = jobOf('    run: make');
  assert.ok(isSetOffBy(any, 'push', 'main') && isSetOffBy(any, 'pull_request', 'topic'));
  const some = jobOf('    run: make\n    on: [push]\n    branches: [main, release-*]');
  assert.ok(isSetOffBy(some, 'push', 'release-2'));
  assert.ok(!isSetOffBy(some, 'push', 'topic'));
  assert.ok(!isSetOffBy(some, 'pull_request', 'main'));
});

test('its time-out is in ms', () => {
  assert.equal(jobOf('    run: make\n    timeout: 90s').timeout, 90_000);
  assert.equal(jobOf('    run: make').timeout, 3_600_000);
});

test('what is wrong is told with its place', () => {
  for (const [text, wrong] of [
    ['jobs: {}', /jobs: expected at least one job/],
    ['jobs:\n  a:\n    run: x\n    lables: []', /jobs\.a: .*lables/],
    ['jobs:\n  a:\n    run: x\n    timeout: soon', /jobs\.a\.timeout: expected a duration/],
    ['jobs:\n  "a b":\n    run: x', /expected a name such as test/],
    ['jobs: [', /./],
    ['', /./],
  ] as const) {
    const read = readPipeline(text);
    assert.ok('wrong' in read);
    assert.match(read.wrong, wrong);
  }
});
