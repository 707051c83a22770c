import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import type { ImagePause } from '../../src/images/pauses.ts';
import { debianGuest, noQemuFor } from '../debian-guest.ts';
import { fakeTart, noFakeVms } from '../fake-vms.ts';
import { findProcesses } from '../../src/platform/process-table.ts';
import { Pomona, kill, until } from './pomona.ts';

/** What a build did with each of its steps, in their order, without the base. */
function doneBy(out: string): string[] {
  return [...out.matchAll(/^(cached|made) [0-9a-f]+ in/gm)].slice(1).map(([, how = '']) => how);
}

describe('recipes of virtual machines, by tart (fake)', { skip: noFakeVms() }, () => {
  const mac = fakeTart();
  let pomona: Pomona;
  let dir = '';
  const machinesDir = () => join(pomona.data, 'agent/vms/tart/home/vms');
  const machines = () => readdir(machinesDir()).catch(() => []);
  const build = (...args: string[]) => pomona.run(['image', 'build', ...args]);
  async function recipe(name: string, ...steps: string[]): Promise<string> {
    const path = join(dir, name);
    const lines = steps.map((step) => `  - ${step}\n`).join('');
    await writeFile(path, `from: vm:${mac.image}\nsteps:\n${lines}`);
    return path;
  }
  async function homeOf(image: string): Promise<string> {
    const shown = await pomona.json<{ path: string }>(['image', 'show', image]);
    return join(shown.path, 'guest-home');
  }
  /** Starts a build and returns when it waits for a person. */
  async function paused(...args: string[]): Promise<[ChildProcess, ImagePause]> {
    const child = pomona.spawn(['image', 'build', ...args]);
    child.stdin?.end();
    child.stdout?.resume();
    let pause: ImagePause | undefined;
    await until('it waits', async () => {
      assert.equal(child.exitCode, null, 'the build ended');
      [pause] = await pomona.json<ImagePause[]>(['image', 'paused']);
      return pause !== undefined;
    });
    assert.ok(pause);
    return [child, pause];
  }
  const endOf = async (child: ChildProcess) => {
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    return child.exitCode;
  };

  before(async () => {
    const { FAKE_TART = '' } = process.env;
    pomona = await Pomona.make({ env: { FAKE_TART } });
    dir = join(pomona.data, 'recipes');
    await mkdir(join(dir, 'files'), { recursive: true });
    await writeFile(join(dir, 'files/settings'), 'colour=green\n');
  });
  after(async () => {
    await pomona.remove();
    mac.remove();
  });
  afterEach(async () => {
    assert.deepEqual(await machines(), [], 'a machine was left');
  });

  test('each step is made once, and a changed last step repeats that one alone', async () => {
    const first = ['run: echo one > ~/one', 'copy: { src: [files], dst: files }'];
    const file = await recipe('steps.yaml', ...first, 'run: cat ~/one files/settings > ~/two');
    const made = await build('steps', file);
    assert.equal(made.code, 0, made.err + made.out);
    assert.deepEqual(doneBy(made.out), ['made', 'made', 'made']);
    assert.equal(await readFile(join(await homeOf('steps'), 'two'), 'utf8'), 'one\ncolour=green\n');
    await recipe('steps.yaml', ...first, 'run: echo other > ~/two');
    const again = await build('steps', file);
    assert.deepEqual(doneBy(again.out), ['cached', 'cached', 'made']);
    assert.equal(await readFile(join(await homeOf('steps'), 'two'), 'utf8'), 'other\n');
  });

  test('a step that fails ends the build with its output, and nothing is left of it', async () => {
    const file = await recipe('fails.yaml', 'run: echo before; no-such-tool; exit 3');
    const failed = await build('fails', file);
    assert.equal(failed.code, 1);
    assert.match(failed.out, /before\n[^]*no-such-tool[^]*ended with 3/);
    assert.match((await pomona.run(['image', 'show', 'fails'])).err, /there is no image fails/);
  });

  test('a machine that does not boot fails the build with the reason', async () => {
    const file = await recipe('boot.yaml', 'run: echo never');
    mac.set('guest-error');
    const failed = await build('boot', file);
    mac.clear('guest-error');
    assert.equal(failed.code, 1);
    assert.match(failed.err, /did not boot: tart run ended: guest has stopped/);
  });

  test('secrets are there for their step, in memory, and not in the image', async () => {
    await writeFile(join(dir, 'token'), 'very-secret-token');
    const file = await recipe(
      'secret.yaml',
      'run: { secrets: { token: /Users/admin/given/token }, shell: "wc -c < /Users/admin/given/token > ~/size; wc -c < $POMONA_SECRETS_DIR/token >> ~/size" }',
      'run: ls /dev/shm /Users/admin/given > ~/left 2>&1 || true',
    );
    const made = await build('secret', file, '--secret', `token=${join(dir, 'token')}`);
    assert.equal(made.code, 0, made.err + made.out);
    const home = await homeOf('secret');
    assert.equal(await readFile(join(home, 'size'), 'utf8'), '17\n17\n');
    assert.doesNotMatch(await readFile(join(home, 'left'), 'utf8'), /token/);
  });

  test('a secret whose name is a path is refused', async () => {
    await writeFile(join(dir, 'token'), 'very-secret-token');
    const file = await recipe('odd.yaml', 'run: { secrets: ["../../token"], shell: "true" }');
    const refused = await build('odd', file, '--secret', `../../token=${join(dir, 'token')}`);
    assert.equal(refused.code, 1);
    assert.match(refused.err, /secret \.\.\/\.\.\/token would be a file of that name/);
  });

  test('a cache goes from a build to the next, and is not in the image', async () => {
    const script = 'echo x >> ~/downloads/log; wc -l < ~/downloads/log > ~/count';
    for (const count of ['1', '2']) {
      const step = `run: { cache: { brew: downloads }, shell: "${script} # ${count}" }`;
      const made = await build('cache', await recipe('cache.yaml', step));
      assert.equal(made.code, 0, made.err + made.out);
      const home = await homeOf('cache');
      assert.equal((await readFile(join(home, 'count'), 'utf8')).trim(), count);
    }
  });

  test('finalize takes out histories, credentials and what else is named', async () => {
    const file = await recipe(
      'final.yaml',
      'run: mkdir -p ~/.aws ~/actions-runner ~/keep; touch ~/keep/it; echo ls > ~/.zsh_history; echo k > ~/.aws/credentials; echo r > ~/actions-runner/.credentials; echo p > ~/private-1',
      'finalize: ["$HOME/private-*"]',
    );
    const made = await build('final', file);
    assert.equal(made.code, 0, made.err + made.out);
    assert.match(made.out, /removed \/Users\/admin\/\.zsh_history/);
    const home = await homeOf('final');
    const left = await readdir(home);
    assert.ok(left.includes('keep'));
    assert.ok(!left.includes('.zsh_history') && !left.includes('private-1'), left.join());
    assert.deepEqual(await readdir(join(home, '.aws')), []);
    assert.deepEqual(await readdir(join(home, 'actions-runner')), []);
  });

  test('what a person has to do is told with the address, and goes on when it is done', async () => {
    const file = await recipe(
      'hand.yaml',
      'manual: Click through the assistant',
      'run: cat ~/hand',
    );
    const [child, pause] = await paused('hand', file);
    assert.deepEqual([pause.image, pause.text], ['hand:latest', 'Click through the assistant']);
    assert.match(pause.mac ?? '', /^5e:/);
    const second = await build('hand', file);
    assert.match(second.err, /is in use by process/);
    await writeFile(join(machinesDir(), pause.machine, 'guest-home/hand'), 'by hand\n');
    assert.equal((await pomona.run(['image', 'resume', 'hand'])).code, 0);
    assert.equal(await endOf(child), 0);
    assert.equal(await readFile(join(await homeOf('hand'), 'hand'), 'utf8'), 'by hand\n');
    assert.match(
      (await pomona.run(['image', 'resume', 'hand'])).err,
      /no build of hand:latest waits/,
    );
    assert.deepEqual(doneBy((await build('hand', file)).out), ['cached', 'cached']);
  });

  test('what a person did is still there after the build was interrupted, or killed', async () => {
    for (const signal of ['SIGINT', 'SIGKILL'] as const) {
      const file = await recipe(`kept-${signal}.yaml`, `manual: Do it, ${signal}`);
      const name = `kept-${signal.toLowerCase()}`;
      const [child, { machine }] = await paused(name, file);
      await writeFile(join(machinesDir(), machine, 'guest-home/hand'), 'by hand\n');
      child.kill(signal);
      assert.equal(await endOf(child), signal === 'SIGINT' ? 130 : null);
      const [again, pause] = await paused(name, file);
      assert.equal(pause.machine, machine);
      await pomona.run(['image', 'resume', name]);
      assert.equal(await endOf(again), 0);
      assert.equal(await readFile(join(await homeOf(name), 'hand'), 'utf8'), 'by hand\n');
    }
  });

  test('a check lets the build go on by itself, and a person who says so too soon is told', async () => {
    const check =
      'manual: { text: Make the file, check: "test -e ~/done || { echo no file yet; exit 1; }" }';
    const [child, first] = await paused('check', await recipe('check.yaml', check));
    await pomona.run(['image', 'resume', 'check']);
    await until('it waits again', async () => {
      const [pause] = await pomona.json<ImagePause[]>(['image', 'paused']);
      return /no file yet/.test(pause?.problem ?? '');
    });
    await writeFile(join(machinesDir(), first.machine, 'guest-home/done'), '');
    assert.equal(await endOf(child), 0);
  });

  test('a machine that a person switched off is started again for the person', async () => {
    const file = await recipe('off.yaml', 'manual: Restart it');
    const [child, { machine }] = await paused('off', file);
    const runs = () =>
      findProcesses({ environment: `POMONA_TART_VM=${join(machinesDir(), machine)}` });
    for (const pid of await runs()) process.kill(pid, 'SIGUSR2');
    await until('it is off', async () => (await runs()).length === 0);
    await pomona.run(['image', 'resume', 'off']);
    await until('it is told, and runs again', async () => {
      const [pause] = await pomona.json<ImagePause[]>(['image', 'paused']);
      return /switched off/.test(pause?.problem ?? '') && (await runs()).length === 1;
    });
    await until('it is done', async () => {
      await pomona.run(['image', 'resume', 'off']);
      return child.exitCode !== null;
    });
    assert.equal(child.exitCode, 0);
  });

  test('a build that is killed in a step leaves no machine once the next has begun', async () => {
    const file = await recipe('killed.yaml', 'run: echo started; sleep 600');
    const child = pomona.spawn(['image', 'build', 'killed', file]);
    child.stdin?.end();
    for await (const chunk of child.stdout ?? []) if (/^started$/m.test(String(chunk))) break;
    child.kill('SIGKILL');
    await endOf(child);
    assert.equal((await machines()).length, 1);
    const other = await build('other', await recipe('other.yaml', 'run: echo fine'));
    assert.equal(other.code, 0, other.err);
    assert.deepEqual(await machines(), []);
    assert.deepEqual(await findProcesses({ environment: 'POMONA_TART_VM=' }), []);
  });

  test('macOS is installed from a restore image, and a person sets it up', async () => {
    mac.clear('setup-done');
    const ipsw = join(dir, 'macos.ipsw');
    await writeFile(ipsw, 'macOS 15.6');
    const file = join(dir, 'install.yaml');
    const machine = 'machine: { driver: tart, cpus: 2, disk: 64GiB }';
    const steps =
      'steps:\n  - manual: { text: Set it up, check: "true" }\n  - run: echo after > ~/after\n';
    await writeFile(file, `from: ipsw:${ipsw}\n${machine}\n${steps}`);
    const [child] = await paused('installed', file);
    mac.set('setup-done');
    assert.equal(await endOf(child), 0);
    const shown = await pomona.json<{ path: string }>(['image', 'show', 'installed']);
    assert.equal(await readFile(join(shown.path, 'disk.img'), 'utf8'), 'macOS 15.6 on 69 GB');
    await writeFile(file, `from: ipsw:${ipsw}\n${steps}`);
    assert.match((await build('installed', file)).err, /what macOS is installed by is to be told/);
  });

  test('profiles make an image for each team and version of the guest', async () => {
    const file = join(dir, 'teams.yaml');
    await writeFile(
      join(dir, 'team.spec'),
      '((from "${{ from }}")\n (run (shell "echo ${{ packages }} > ~/packages")))\n',
    );
    await writeFile(
      file,
      `spec: team.spec
guests:
  "14": { from: "vm:${mac.image}" }
  "15": { from: "vm:${mac.image}" }
teams:
  ROOT: { all: { packages: [cmake, ninja] }, guests: { "15": { packages: [cmake, xrootd] } } }
  SPI: { all: { packages: [gcc] }, without: ["14"] }
`,
    );
    const all = await build('${{ team }}-macos-${{ guest }}', file, '--all-profiles');
    assert.equal(all.code, 0, all.err + all.out);
    const packages = async (image: string) =>
      (await readFile(join(await homeOf(image), 'packages'), 'utf8')).trim();
    assert.equal(await packages('root-macos-14'), 'cmake ninja');
    assert.equal(await packages('root-macos-15'), 'cmake xrootd');
    assert.equal(await packages('spi-macos-15'), 'gcc');
    assert.match((await build('x', file)).err, /which profile.*ROOT@14, ROOT@15, SPI@15/);
    assert.match(
      (await build('x', file, '--profile', 'SPI@14')).err,
      /there is no profile SPI@14; did you mean SPI@15\?/,
    );
    assert.match(
      (await build('x', file, '--all-profiles')).err,
      /several profiles would become x:latest/,
    );
  });

  test('a scheduled rebuild makes steps anew, and never what a person did', async () => {
    const file = await recipe('again.yaml', 'manual: Do it once', 'run: date +%s%N > ~/when');
    const [child] = await paused('again', file, '--every', '7d');
    await pomona.run(['image', 'resume', 'again']);
    assert.equal(await endOf(child), 0);
    const when = async () => readFile(join(await homeOf('again'), 'when'), 'utf8');
    const before = await when();
    const rebuilt = await pomona.run(['image', 'rebuild', 'again']);
    assert.equal(rebuilt.code, 0, rebuilt.err + rebuilt.out);
    assert.deepEqual(doneBy(rebuilt.out), ['cached', 'made']);
    assert.notEqual(await when(), before);
    await pomona.run(['image', 'unschedule', 'again']);
  });

  test('jobs run in what a recipe made', async () => {
    const file = await recipe('worker.yaml', 'run: echo prepared > ~/tool');
    const made = await build('worker', file);
    assert.equal(made.code, 0, made.err);
    const pool = '{ name: macs, labels: [mac], kind: vm, vm: tart, image: worker, max: 1 }';
    await writeFile(
      join(pomona.data, 'pomona.yaml'),
      `pools:\n  - ${pool}\nagent: { macosVms: 2 }\n`,
    );
    const up = await pomona.up();
    const ran = await pomona.run(['run', '--label', 'mac', '--', 'cat', '/Users/admin/tool']);
    assert.equal(ran.out, 'prepared\n', ran.err);
    await until(
      'no worker is left',
      async () => (await pomona.json<unknown[]>(['worker', 'list'])).length === 0,
    );
    await kill(up, 'SIGTERM');
    await rm(join(pomona.data, 'pomona.yaml'));
  });
});

const guest = debianGuest();
const noQemu = await noQemuFor(guest);

test('a recipe of a real machine is followed by QEMU', { skip: noQemu }, async (t) => {
  const pomona = await Pomona.make();
  t.after(() => pomona.remove());
  const file = join(pomona.data, 'recipe.spec');
  await writeFile(join(pomona.data, 'token'), 'very-secret-token');
  await writeFile(join(pomona.data, 'settings'), 'colour=green\n');
  const from = 'none' in guest ? '' : guest.dir;
  const recipe = (last: string) => `((from vm:${from})
    (machine (guest linux) (cpus 1) (memory 512MiB))
    (shell /bin/sh -c)
    (env WHO world)
    (run (secrets (token)) (shell "echo hello $WHO > greeting; wc -c < /run/secrets/token >> greeting; echo ls > .bash_history"))
    (copy (src settings) (dst /etc/settings))
    (manual "Look at it" (check "cat /etc/settings greeting"))
    ${last})`;
  const build = () =>
    pomona.run(
      ['image', 'build', 'real', file, '--secret', `token=${join(pomona.data, 'token')}`],
      {
        // Several boots of an emulated machine.
        ms: 300_000,
      },
    );
  await writeFile(file, recipe('(finalize)'));
  const made = await build();
  assert.equal(made.code, 0, made.err + made.out);
  assert.match(
    made.out,
    /removed \/root\/\.bash_history\n[^]*free room was (written over|given back)/,
  );
  await writeFile(file, recipe('(run (shell "cat greeting /etc/settings; ls -a"))'));
  const again = await build();
  assert.deepEqual(doneBy(again.out), ['cached', 'cached', 'cached', 'made'], again.err);
  assert.match(again.out, /hello world\n17\ncolour=green\n/);
  assert.deepEqual(await readdir(join(pomona.data, 'agent/recipe-machines')), []);
});
