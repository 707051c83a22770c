import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parse } from 'yaml';
import { configJsonSchema } from './json-schema.ts';
import { ConfigError, loadConfig } from './load.ts';

const RIGHT = [
  '{}',
  'pools: []',
  'pools: [{ name: a }]',
  'pools: [{ name: a, image: "macos-15:2026-01", ready: 2, limits: { memory: 4 GiB, cpus: 0.5 } }]',
  'pools: [{ name: a, timeout: 1.5h, maxTimeout: 2d, retries: 10 }]',
  'agent: { name: mac-1, labels: [team=web], workers: 0, macosVms: 2 }',
  'retention: { jobs: 7d }',
  'integrations: [{ name: gh, kind: github, organization: acme, token: GH_PAT }]',
  'integrations: [{ name: j, kind: jenkins, url: "https://ci.example.org", user: u, token: T, idle: 1m }]',
  'integrations: [{ name: b, kind: buildbot, url: "https://b.example.org", master: "b:9989", workers: [{ names: [w], password: P }] }]',
  'integrations: [{ name: l, kind: listener, command: [x], busyCheck: [y], routes: [{ pool: a, standby: 1 }] }]',
  'integrations: [{ name: n, kind: native, repository: acme/app, app: { id: 1, key: K }, webhookSecret: W }]',
];
const WRONG = [
  'pool: []',
  'pools: {}',
  'pools: [{}]',
  'pools: [{ name: Upper }]',
  'pools: [{ name: a, reddy: 1 }]',
  'pools: [{ name: a, ready: -1 }]',
  'pools: [{ name: a, ready: "2" }]',
  'pools: [{ name: a, kind: container }]',
  'pools: [{ name: a, limits: { memory: 4 } }]',
  'pools: [{ name: a, limits: { memory: 4GX } }]',
  'pools: [{ name: a, timeout: 30 minutes }]',
  'pools: [{ name: a, retries: 11 }]',
  'agent: { macosVms: 3 }',
  'retention: { jobs: forever }',
  'integrations: [{ name: x, kind: travis }]',
  'integrations: [{ name: gh, kind: github, organization: acme, token: lower-case }]',
  'integrations: [{ name: b, kind: buildbot, url: "https://b.example.org", master: b, workers: [] }]',
  'integrations: [{ name: l, kind: listener, command: [], busyCheck: [y] }]',
  'integrations: [{ name: n, kind: native, repository: acme, app: { id: 1, key: K }, webhookSecret: W }]',
];

// `format` is for editors; what it stands for is checked by the patterns beside it.
const validate = new Ajv2020({ strict: true, validateFormats: false }).compile(configJsonSchema());

function loads(text: string): boolean {
  try {
    loadConfig(text, 'pomona.yaml');
    return true;
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return false;
  }
}

test('an editor that has the schema accepts what Pomona accepts', () => {
  for (const text of RIGHT) {
    assert.equal(loads(text), true, text);
    assert.equal(validate(parse(text)), true, `${text}: ${JSON.stringify(validate.errors)}`);
  }
});

test('an editor that has the schema refuses what Pomona refuses', () => {
  for (const text of WRONG) {
    assert.equal(loads(text), false, text);
    assert.equal(validate(parse(text)), false, text);
  }
});
