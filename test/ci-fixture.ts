import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { IntegrationView } from '../src/protocol/api/ci-resources.ts';
import type { Timeline } from '../src/protocol/api/history-resources.ts';
import type { JobView, WorkerView } from '../src/protocol/api/resources.ts';
import { FakeGithub, type FakeGithubOptions } from './fakes/github/github.ts';
import { Pomona, until } from './system/pomona.ts';

/** Keys are slow to make: one App for all tests of a file. */
const { publicKey, privateKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
});
export const APP = { id: 'Iv23app', publicKey, privateKey } as const;
export const WEBHOOK_SECRET = 'a-webhook-secret-that-is-long';

export function startGithub(options: Partial<FakeGithubOptions> = {}): Promise<FakeGithub> {
  return FakeGithub.start({ organization: 'acme', app: APP, ...options });
}

/** An integration with that GitHub, as pomona.yaml has it. */
export function githubConfig(github: FakeGithub, more: object = {}): object {
  return {
    ...{ name: 'gh', kind: 'github', url: github.web.url, api: github.web.url },
    ...{ organization: 'acme', app: { id: APP.id, key: 'GH_APP_KEY' }, runner: 'newest' },
    ...{ webhookSecret: 'GH_WEBHOOK', lookEvery: '1s' },
    ...more,
  };
}

export const POOLS = [
  { name: 'macs', labels: ['macos-15', 'arm64'], ready: 1, max: 8 },
  { name: 'strangers', labels: ['macos-15', 'arm64'], trust: 'untrusted', max: 4 },
] as const;

/** A Pomona with this configuration and these secrets; `up` it then. */
export async function pomonaWith(
  config: object,
  secrets: Readonly<Record<string, string>> = {},
): Promise<Pomona> {
  const pomona = await Pomona.make();
  await writeFile(join(pomona.data, 'pomona.yaml'), stringify(config));
  await pomona.up();
  const all = { GH_APP_KEY: APP.privateKey, GH_WEBHOOK: WEBHOOK_SECRET, ...secrets };
  for (const [name, value] of Object.entries(all)) {
    const ran = await pomona.run(['secret', 'set', name], { input: value });
    assert.equal(ran.code, 0, ran.err);
  }
  return pomona;
}

export async function integration(pomona: Pomona, name = 'gh'): Promise<IntegrationView> {
  const [view] = await pomona.json<IntegrationView[]>(['ci', 'status', name]);
  assert.ok(view !== undefined);
  return view;
}

/** Waits until no runner of ours is registered and no worker has a job. */
export function allQuiet(pomona: Pomona, github: FakeGithub): Promise<void> {
  return quiet(pomona, async () => github.hub.runners.size === 0);
}

/** Waits until the CI system has nothing of ours, and no worker has a job. */
export async function quiet(pomona: Pomona, nothingThere: () => Promise<boolean>): Promise<void> {
  await until(
    'everything is cleaned up',
    async () => {
      if (!(await nothingThere())) return false;
      const workers = await pomona.json<WorkerView[]>(['worker', 'list']);
      return workers.every(({ state }) => state === 'ready' || state === 'requested');
    },
    60_000,
  );
}

export async function jobsOf(pomona: Pomona): Promise<JobView[]> {
  return pomona.json<JobView[]>(['job', 'list', '--limit', '1000']);
}

/** What the page of a job says of the CI system's own. */
export async function ciLink(pomona: Pomona, jobId: string): Promise<Timeline['ci']> {
  const url = `http://127.0.0.1:${pomona.port}/api/v1/jobs/${jobId}/timeline`;
  const headers = { authorization: `Bearer ${await pomona.adminToken()}` };
  const answer = await fetch(url, { headers });
  assert.equal(answer.status, 200);
  return ((await answer.json()) as Timeline).ci;
}
