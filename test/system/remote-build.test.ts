import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stepHints } from '../../src/builder/keys/hints.ts';
import { parseSpec } from '../../src/builder/spec/parse.ts';
import { findProcesses } from '../../src/platform/process-table.ts';
import type { JobView } from '../../src/protocol/api/resources.ts';
import type { HostView } from '../../src/protocol/api/host-resources.ts';
import { noBuilds } from '../builder-fixture.ts';
import { makeRoot, staticBusybox } from '../contract/root-file-system.ts';
import { Pomona, until } from './pomona.ts';

const HOSTS = ['one', 'two'];
/** The program that builds, as a checkout has it. */
const BUILDER = fileURLToPath(new URL('../../src/cli/build-job.ts', import.meta.url));

describe('pomona build --remote', { skip: noBuilds }, () => {
  let pomona: Pomona;
  let context = '';

  before(async () => {
    pomona = await Pomona.make();
    context = await mkdtemp(join(tmpdir(), 'pomona-context-'));
    await mkdir(join(context, 'base'));
    makeRoot(join(context, 'base'), staticBusybox() ?? '');
    await writeFile(join(context, 'file'), 'sent');
    await pomona.start(['serve', '--data', pomona.data, '--listen', `127.0.0.1:${pomona.port}`]);
    for (const name of HOSTS) {
      const token = join(pomona.data, `${name}.token`);
      const made = await pomona.run(['token', 'join', '--output', token]);
      assert.equal(made.code, 0, made.err);
      const data = join(pomona.data, `agent-${name}`);
      await pomona.start([
        ...['agent', 'run', '--controller', `http://127.0.0.1:${pomona.port}`],
        ...['--join-token-file', token, '--name', name, '--data', data],
        ...['--build-store', `copy:${join(data, 'builds')}`],
      ]);
    }
  });
  after(async () => {
    await pomona.remove();
    await rm(context, { recursive: true });
  });

  async function build(steps: string, ...options: string[]) {
    await writeFile(join(context, 'a.spec'), `((from ./base) (shell /bin/sh -c) ${steps})`);
    return pomona.run(['build', '--remote', join(context, 'a.spec'), ...options]);
  }

  async function lastJob(): Promise<JobView> {
    const [job] = await pomona.json<JobView[]>(['job', 'list']);
    assert(job !== undefined);
    return job;
  }

  test('builds what it is sent on a host, and the next build where most of it is', async () => {
    const begin = '(copy (src file) (dst /f)) (run (shell "cat /f; echo; echo made"))';
    const first = await build(begin);
    assert.equal(first.code, 0, first.err);
    assert.match(first.out, /sent\nmade\n/);
    assert.match(first.out, /\(0 cached, 3 made\)\n[0-9a-f]{64}\n$/);
    const { hostName: host } = await lastJob();
    assert(host !== undefined && HOSTS.includes(host));
    await until('its host tells what it has', async () => {
      const hosts = await pomona.json<HostView[]>(['host', 'list']);
      return hosts.some((each) => each.name === host && each.facts?.builds?.hints.length === 3);
    });
    // Often enough that the other host would be met by chance.
    for (const number of [1, 2, 3, 4]) {
      const next = await build(`${begin} (run (shell "echo ${number}"))`);
      assert.match(next.out, /\(3 cached, 1 made\)/, next.out);
      assert.equal((await lastJob()).hostName, host);
    }
  });

  test('a step that fails ends it with 1 and its log, and --json tells each event', async () => {
    const failed = await build('(run (shell "echo why; exit 9"))');
    assert.equal(failed.code, 1);
    assert.match(failed.out, /why\nFailed: step 1 \(run echo why; exit 9\) ended with 9/);
    const told = await build('(run (shell "echo told"))', '--json');
    const events = told.out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.deepEqual([events[0]?.['type'], events.at(-1)?.['type']], ['step', 'result']);
  });

  test('a secret is the fleet’s own, and nobody sees its value', async () => {
    const value = 'the-value-of-it';
    await pomona.run(['secret', 'set', 'TOKEN'], { input: value });
    const step = '(run (secrets (tok (target /t))) (shell "wc -c < /t; cat /t; env"))';
    const ran = await build(step, '--secret', 'tok=TOKEN');
    assert.equal(ran.code, 0, ran.err);
    assert.match(ran.out, new RegExp(`^${value.length}$`, 'm'));
    assert.doesNotMatch(ran.out, new RegExp(value));
    assert.doesNotMatch(ran.out, /POMONA_BUILD_ORDER|TOKEN=/);
    const unknown = await build(step, '--secret', 'tok=NONE');
    assert.match(unknown.err, /no secret is named NONE/);
    const wrong = await build(step, '--secret', 'tok=./file');
    assert.equal(wrong.code, 2);
    assert.match(wrong.err, /expects ID=NAME, a secret of the fleet/);
  });

  test('nothing of a job’s environment reaches the program that builds', async () => {
    const local = await readFile(join(pomona.data, 'controller.json'), 'utf8');
    const { url } = JSON.parse(local) as { url: string };
    const token = (await readFile(join(pomona.data, 'admin.token'), 'utf8')).trim();
    const order = {
      ...{ spec: '((from ./base) (run (shell true)))', file: 'x', noCache: false },
      ...{ untrusted: true, format: 'plain', hints: [], secrets: {} },
    };
    const env = { NODE_OPTIONS: '--no-such-option-of-node' };
    const refused = await fetch(`${url}/api/v1/jobs`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ command: ['x'], env, build: order }),
    });
    const why = await refused.text();
    assert(refused.status >= 400 && refused.status < 500, why);
    assert.match(why, /a build has the environment that its spec says/);
    // A secret is no order to the program, whatever it is called.
    await pomona.run(['secret', 'set', 'NODE_OPTIONS'], { input: env.NODE_OPTIONS });
    const step = '(run (secrets (s (target /s))) (shell "wc -c < /s"))';
    const ran = await build(step, '--secret', 's=NODE_OPTIONS');
    assert.equal(ran.code, 0, ran.out + ran.err);
    assert.match(ran.out, new RegExp(`^${env.NODE_OPTIONS.length}$`, 'm'));
  });

  test('a base may not be just any directory of the host', async () => {
    for (const from of ['/etc', 'tar:/x.tar', 'home:root', '../../..']) {
      await writeFile(join(context, 'a.spec'), `((from ${from}) (run (shell true)))`);
      const ran = await pomona.run(['build', '--remote', join(context, 'a.spec')]);
      assert.equal(ran.code, 1, from);
      assert.match(ran.out, /takes bases from registries/, from);
    }
  });

  test('what strangers’ builds make is not taken for what trusted ones do', async () => {
    const step = '(run (shell "echo of a stranger"))';
    assert.match((await build(step, '--untrusted')).out, /1 made\)/);
    assert.match((await build(step)).out, /1 made\)/);
  });

  test('an interrupt ends the step and with 130, also while it waits for a host', async () => {
    for (const [options, until] of [
      [[], /begun/],
      [['--store', 'zfs'], /wants to be built in a store zfs/],
    ] as const) {
      await writeFile(
        join(context, 'a.spec'),
        '((from ./base) (shell /bin/sh -c) (run (shell "echo begun; sleep 4711")))',
      );
      const child = pomona.spawn(['build', '--remote', join(context, 'a.spec'), ...options]);
      let said = '';
      const seen = Promise.withResolvers<void>();
      for (const stream of [child.stdout, child.stderr]) {
        stream?.on('data', (chunk) => {
          said += String(chunk);
          if (until.test(said)) seen.resolve();
        });
      }
      await seen.promise;
      child.kill('SIGINT');
      const [code] = await once(child, 'exit');
      assert.equal(code, 130, said);
      assert.equal((await lastJob()).outcome, 'cancelled');
      await assertNoSteps();
    }
  });

  test('a builder that is killed leaves no step running, and what was made is there', async () => {
    await writeFile(
      join(context, 'a.spec'),
      '((from ./base) (shell /bin/sh -c) (run (shell "echo kept")) (run (shell "echo begun; sleep 4711")))',
    );
    const child = pomona.spawn(['build', '--remote', join(context, 'a.spec')]);
    let said = '';
    const begun = Promise.withResolvers<void>();
    child.stdout?.on('data', (chunk) => {
      said += String(chunk);
      if (said.includes('begun')) begun.resolve();
    });
    await begun.promise;
    const builders = await findProcesses({ argument: BUILDER });
    for (const pid of builders) {
      const args = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
      if (args.some((arg) => arg.includes(pomona.data))) process.kill(pid, 'SIGKILL');
    }
    const [code] = await once(child, 'exit');
    assert.equal(code, 137, said);
    await assertNoSteps();
    const kept = '((from ./base) (shell /bin/sh -c) (run (shell "echo kept")))';
    const { spec } = parseSpec(kept, 'kept');
    const hint = (await stepHints(spec, context, new AbortController().signal)).at(-1) ?? '';
    await until('its host tells what it has', async () => {
      const hosts = await pomona.json<HostView[]>(['host', 'list']);
      return hosts.some((host) => host.facts?.builds?.hints.includes(hint));
    });
    assert.match((await build('(run (shell "echo kept"))')).out, /2 cached, 0 made\)/);
  });

  async function assertNoSteps(): Promise<void> {
    await until('no step is left', async () => {
      return (await findProcesses({ argument: '4711' })).length === 0;
    });
  }

  test('a fleet without a pool for builds says what to add', async () => {
    const pools = join(pomona.data, 'pools.yaml');
    await writeFile(pools, 'pools: [{ name: default, labels: [default] }]\n');
    const other = await Pomona.make();
    try {
      const listen = `127.0.0.1:${other.port}`;
      await other.start(['serve', '--data', other.data, '--listen', listen, '--config', pools]);
      await writeFile(join(context, 'a.spec'), '((from ./base) (run (shell true)))');
      const ran = await other.run(['build', '--remote', join(context, 'a.spec')]);
      assert.match(ran.err, /add `- \{ name: builds, kind: build \}`/);
    } finally {
      await other.remove();
    }
  });
});
