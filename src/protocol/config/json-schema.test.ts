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
];

const validate = new Ajv2020({ strict: true }).compile(configJsonSchema());

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
