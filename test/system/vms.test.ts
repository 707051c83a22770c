import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { JobView, WorkerView } from '../../src/protocol/api/resources.ts';
import { findProcesses } from '../../src/platform/process-table.ts';
import { ConsoleClient } from '../console-client.ts';
import { noBrowser, Person, startBrowser } from '../dashboard-page.ts';
import { debianGuest } from '../debian-guest.ts';
import { Pomona, kill, until } from './pomona.ts';

const CONFIG = `
pools:
  - name: vms
    labels: [linux-vm]
    kind: vm
    vm: qemu
    guest: linux
    image: small
    ready: 1
    max: 2
    limits: { cpus: 1, memory: 256MiB }
`;

const guest = debianGuest();
const skip = 'none' in guest ? guest.none : false;

describe('workers that are real virtual machines', { skip }, () => {
  let pomona: Pomona;
  let up: ChildProcess;
  const vmsDir = () => join(pomona.data, 'agent/vms/qemu');
  const run = (script: string, ...options: string[]) =>
    pomona.run(['run', '--label', 'linux-vm', ...options, '--', 'sh', '-c', script]);
  /** Pids of the machines there are, by VM. */
  async function machines(): Promise<Map<string, number[]>> {
    const names = await readdir(vmsDir()).catch(() => []);
    const found = new Map<string, number[]>();
    for (const name of names.filter((each) => each.startsWith('pomona-'))) {
      found.set(name, await findProcesses({ argument: join(vmsDir(), name, 'pid') }));
    }
    return found;
  }

  before(async () => {
    pomona = await Pomona.make();
    await writeFile(join(pomona.data, 'pomona.yaml'), CONFIG);
    const image = 'none' in guest ? '' : guest.dir;
    const imported = await pomona.run(['image', 'import', 'small', image]);
    assert.equal(imported.code, 0, imported.err);
    up = await pomona.up();
  });
  after(async () => {
    await kill(up, 'SIGTERM');
    for (const pids of (await machines()).values()) {
      for (const pid of pids) process.kill(pid, 'SIGKILL');
    }
    await pomona.remove();
  });

  test('a job runs in a guest of its own, with its source, secrets and artifacts', async () => {
    const source = join(pomona.data, 'src');
    const output = join(pomona.data, 'out');
    await mkdir(join(source, 'deep'), { recursive: true });
    await writeFile(join(source, 'deep/file'), 'content');
    await pomona.run(['secret', 'set', 'KEY'], { input: "it's $a secret\n" });
    const ran = await run(
      `hostname; cat deep/file; echo; echo "$KEY" > /root/seen; test "$KEY" = "it's \\$a secret" &&
       echo "the key is $KEY"; mkdir -p 'dist/a b'; echo built > 'dist/a b/result'; ln -s /etc/passwd dist/leak; exit 3`,
      ...['--source', source, '--secret', 'KEY', '--artifact', 'dist/**', '--output', output],
    );
    const [host, ...lines] = ran.out.trim().split('\n');
    assert.match(host ?? '', /^pomona-/);
    assert.deepEqual([ran.code, lines], [3, ['content', 'the key is ***']], ran.err);
    assert.equal(await readFile(join(output, 'dist/a b/result'), 'utf8'), 'built\n');
    assert.deepEqual(await readdir(join(output, 'dist')), ['a b']);
  });

  test('the next job finds a clean guest, with an identity of its own', async () => {
    const look = 'hostname; cat /sys/class/net/eth0/address; ls /root';
    const [one, two] = [await run(look), await run(look)];
    assert.deepEqual([one.code, two.code], [0, 0], one.err + two.err);
    const [first, second] = [one.out.trim().split('\n'), two.out.trim().split('\n')];
    assert.notEqual(first[0], second[0]);
    assert.notEqual(first[1], second[1]);
    for (const lines of [first, second]) assert.deepEqual(lines.slice(2), ['work']);
  });

  test('a job goes on in its guest when the agent is killed and started again', async () => {
    const running = run('echo begun; sleep 6; echo ended');
    await until('the job runs', async () => (await jobs())[0]?.state === 'running');
    await kill(up, 'SIGKILL');
    up = await pomona.up();
    const { code, out, err } = await running;
    assert.deepEqual([code, out], [0, 'begun\nended\n'], err);
    const [job] = await jobs();
    assert.deepEqual([job?.outcome, job?.epoch], ['succeeded', 1]);
  });

  test('people look into a guest that has a job: by its shell and its screen', async () => {
    const client = pomona.spawn(['run', '--label', 'linux-vm', '--', 'sh', '-c', 'sleep 654321']);
    client.stdout?.resume();
    await until('the job runs', async () => (await jobs())[0]?.state === 'running');
    const [job] = await jobs();
    const place = { workerId: job?.workerId ?? '', kind: 'shell' } as const;
    const url = `http://127.0.0.1:${pomona.port}`;
    const token = await pomona.adminToken();
    const shell = await ConsoleClient.open(url, token, place);
    shell.resize(101, 33);
    shell.type("stty size; ps | grep 65432'1'; echo bye\n");
    await shell.says(/33 101[^]*sleep 654321[^]*bye/);
    shell.type('exit\n');
    assert.match((await shell.closed).reason, /the shell ended with 0/);
    const screen = await ConsoleClient.open(url, token, { ...place, kind: 'screen' });
    await screen.says(/^RFB 003\.\d{3}\n/);
    await screen.close();
    if (noBrowser === false) await seeScreen(url, token, place.workerId);
    await pomona.run(['job', 'cancel', job?.id ?? '']);
    await once(client, 'exit');
  });

  /** The screen is drawn in a window of the dashboard. */
  async function seeScreen(url: string, token: string, workerId: string): Promise<void> {
    const browser = await startBrowser();
    try {
      const person = await Person.come(browser, url);
      await person.signIn(token, '/workers');
      const opening = person.context.waitForEvent('page');
      await person.page.locator(`a[href="/console/${workerId}?kind=screen"]`).click();
      const window = await opening;
      person.watch(window);
      await window.getByRole('status').getByText('Open', { exact: true }).waitFor();
      const width = await window.locator('canvas').first().getAttribute('width');
      assert.ok(Number(width) >= 320, `the screen is ${width} px wide`);
      person.checkQuiet();
    } finally {
      await browser.close();
    }
  }

  test('a job that is cancelled ends in the guest, which is thrown away', async () => {
    const client = pomona.spawn(['run', '--label', 'linux-vm', '--', 'sleep', '600']);
    client.stdout?.resume();
    await until('the job runs', async () => (await jobs())[0]?.state === 'running');
    const [job] = await jobs();
    await pomona.run(['job', 'cancel', job?.id ?? '']);
    await once(client, 'exit');
    assert.equal((await jobs())[0]?.outcome, 'cancelled');
  });

  test('a machine that dies under its job is told, and nothing of it stays', async () => {
    const client = pomona.spawn(['run', '--label', 'linux-vm', '--', 'sleep', '600']);
    client.stdout?.resume();
    await until('the job runs', async () => (await jobs())[0]?.state === 'running');
    const worker = (await pomona.json<WorkerView[]>(['worker', 'list'])).find(
      ({ state }) => state === 'running',
    );
    const name = [...(await machines()).keys()].find((each) => each.endsWith(worker?.id ?? '?'));
    assert(name !== undefined);
    for (const pid of (await machines()).get(name) ?? []) process.kill(pid, 'SIGKILL');
    await once(client, 'exit');
    const [job] = await jobs();
    assert.equal(job?.outcome, 'lost');
    assert.match(job?.reason ?? '', /connection to its virtual machine was lost/);
    await until('it is gone', async () => !(await machines()).has(name));
  });

  test('a machine that dies while it waits is replaced', async () => {
    const waiting = async () => {
      const workers = await pomona.json<WorkerView[]>(['worker', 'list']);
      return workers.find(({ state }) => state === 'ready')?.id;
    };
    await until('one waits', async () => (await waiting()) !== undefined, 60_000);
    const before = await waiting();
    for (const pids of (await machines()).values()) {
      for (const pid of pids) process.kill(pid, 'SIGKILL');
    }
    await until(
      'another waits',
      async () => ![undefined, before].includes(await waiting()),
      60_000,
    );
    assert.equal((await run('echo fine')).out, 'fine\n');
  });

  test('an image that is none for the driver is told as the reason', async () => {
    const odd = join(pomona.data, 'odd');
    await mkdir(odd);
    await writeFile(join(odd, 'file'), 'x');
    await pomona.run(['image', 'import', 'odd', odd]);
    const pool = CONFIG.replace('image: small', 'image: odd').replace('name: vms', 'name: odd');
    await writeFile(join(pomona.data, 'odd.yaml'), pool.replace('linux-vm', 'odd'));
    const applied = await pomona.run(['pool', 'apply', '-f', join(pomona.data, 'odd.yaml')]);
    assert.equal(applied.code, 0, applied.err);
    const queued = await pomona.run(['run', '--detach', '--pool', 'odd', '--', 'true']);
    const id = queued.out.trim();
    await until('it is told', async () => {
      const { out } = await pomona.run(['job', 'why', id]);
      return /image odd has no disk for QEMU: expected a disk, or a directory with/.test(out);
    });
    await pomona.run(['job', 'cancel', id]);
    await pomona.run(['pool', 'remove', 'odd']);
  });

  const jobs = () => pomona.json<JobView[]>(['job', 'list']);
});
