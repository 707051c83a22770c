import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { findProcesses } from '../../src/platform/process-table.ts';
import type { ConsoleView } from '../../src/protocol/api/history-resources.ts';
import type { JobView, WorkerView } from '../../src/protocol/api/resources.ts';
import { ConsoleClient } from '../console-client.ts';
import { Pomona, until } from './pomona.ts';

const CONFIG = `
pools:
  - { name: default, labels: [default], ready: 1, max: 3 }
  - { name: open, labels: [open], sandbox: process, max: 2 }
`;

describe('ways into workers', { timeout: 300_000 }, () => {
  let pomona: Pomona;
  let url = '';
  let token = '';

  before(async () => {
    pomona = await Pomona.make();
    url = `http://127.0.0.1:${pomona.port}`;
    await writeFile(join(pomona.data, 'pomona.yaml'), CONFIG);
    await pomona.up();
    token = await pomona.adminToken();
  });
  after(() => pomona.remove());

  /** A worker with a job that runs until it is cancelled. */
  async function busy(label = 'default'): Promise<{ jobId: string; workerId: string }> {
    const ran = await pomona.run(['run', '--detach', '--label', label, '--', 'sleep', '600']);
    const jobId = ran.out.trim();
    const show = () => pomona.json<JobView>(['job', 'show', jobId]);
    await until('it runs', async () => (await show()).state === 'running');
    return { jobId, workerId: (await show()).workerId ?? '' };
  }

  async function consoles(): Promise<ConsoleView[]> {
    const headers = { authorization: `Bearer ${token}` };
    const answer = await fetch(`${url}/api/v1/consoles`, { headers });
    return ((await answer.json()) as { items: ConsoleView[] }).items;
  }

  /** The status with which a console is refused. */
  function refusal(path: string, headers: Record<string, string>): Promise<number> {
    const socket = new WebSocket(`${url.replace('http', 'ws')}${path}`, { headers });
    return new Promise((resolve, reject) => {
      socket.once('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0));
      socket.once('open', () => reject(new Error('it was let in')));
      socket.once('error', () => undefined);
    });
  }

  for (const label of ['default', 'open']) {
    test(`a shell has a terminal of its own in a worker of pool ${label}, until it is left`, async () => {
      const { jobId, workerId } = await busy(label);
      const shell = await ConsoleClient.open(url, token, { workerId, kind: 'shell' });
      shell.type('echo here-$((40+2)); pwd\n');
      await shell.says(/here-42[^]*\/work/);
      shell.resize(99, 44);
      shell.type('sleep 77777\n');
      await until('it sleeps', async () => (await findProcesses({ argument: '77777' })).length > 0);
      shell.type('\x03');
      shell.type('stty size\n');
      await shell.says(/44 99/);
      assert.deepEqual(await findProcesses({ argument: '77777' }), [], 'interrupts reach it');
      shell.type('exit 3\n');
      assert.match((await shell.closed).reason, /ended with 3/);
      await pomona.run(['job', 'cancel', jobId]);
    });
  }

  test('a shell that is left by closing the window ends with all that runs in it', async () => {
    const { jobId, workerId } = await busy();
    const shell = await ConsoleClient.open(url, token, { workerId, kind: 'shell' });
    shell.type('sleep 88888\n');
    await until('it sleeps', async () => (await findProcesses({ argument: '88888' })).length > 0);
    await shell.close();
    await until(
      'it is gone',
      async () => (await findProcesses({ argument: '88888' })).length === 0,
    );
    await until('it is told', async () =>
      (await consoles()).every(({ endedAt }) => endedAt !== undefined),
    );
    await pomona.run(['job', 'cancel', jobId]);
  });

  test('a shell ends with its worker', async () => {
    const { jobId, workerId } = await busy();
    const shell = await ConsoleClient.open(url, token, { workerId, kind: 'shell' });
    shell.type('echo ready\n');
    await shell.says(/ready/);
    await pomona.run(['job', 'cancel', jobId]);
    await shell.closed;
    await until('the worker is gone', async () => {
      const workers = await pomona.json<WorkerView[]>(['worker', 'list']);
      return !workers.some(({ id }) => id === workerId);
    });
  });

  test('nobody gets into a worker that waits for its job, nor without the role, nor from another site', async () => {
    const ready = async () =>
      (await pomona.json<WorkerView[]>(['worker', 'list'])).find(({ state }) => state === 'ready');
    await until('one waits', async () => (await ready()) !== undefined);
    const admin = { authorization: `Bearer ${token}` };
    const path = (id: string) => `/api/v1/workers/${id}/console?kind=shell`;
    assert.equal(await refusal(path((await ready())?.id ?? ''), admin), 409);
    assert.equal(await refusal(path('w-none'), admin), 404);
    const { jobId, workerId } = await busy();
    assert.equal(await refusal(path(workerId), {}), 401);
    assert.equal(await refusal(path(workerId), { ...admin, origin: 'https://evil.example' }), 403);
    assert.equal(await refusal(`${path(workerId)}&cols=0`, admin), 422);
    assert.equal(await refusal(path(workerId).replace('shell', 'screen'), admin), 409);
    const made = await pomona.json<{ token: string }>([
      ...['token', 'create', 'sue', '--role', 'submitter'],
    ]);
    const submitter = { authorization: `Bearer ${made.token}` };
    assert.equal(await refusal(path(workerId), submitter), 403);
    assert.equal(await refusal('/agent/v1/consoles/c-none', admin), 403);
    await pomona.run(['job', 'cancel', jobId]);
  });

  test('a console that was open when the controller was killed is told to have ended', async () => {
    const { jobId, workerId } = await busy();
    const shell = await ConsoleClient.open(url, token, { workerId, kind: 'shell' });
    shell.type('echo open; sleep 99999\n');
    await shell.says(/open/);
    await pomona.killServers();
    await shell.closed;
    await pomona.up();
    assert.ok((await consoles()).every(({ endedAt }) => endedAt !== undefined));
    await until(
      'it is gone',
      async () => (await findProcesses({ argument: '99999' })).length === 0,
    );
    await pomona.run(['job', 'cancel', jobId]);
  });
});
