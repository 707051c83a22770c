import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { after, before, test } from 'node:test';
import type { Sandbox, SandboxError, SandboxSpec } from '../../src/drivers/sandbox/sandbox.ts';
import { findProcesses, processIdentity } from '../../src/platform/process-table.ts';
import { startCommand } from '../../src/platform/start-command.ts';
import { removeTree } from '../../src/platform/tree.ts';
import { makeRoot, staticBusybox } from './root-file-system.ts';

const LAUNCHER = fileURLToPath(new URL('sandbox-launcher.ts', import.meta.url));
const ON_ROOT_ONLY = { uid: 1000, gid: 1000 };

/** What is different of a spec, where that depends on it. */
type Changes = Partial<SandboxSpec> | ((spec: SandboxSpec) => Partial<SandboxSpec>);

/** What the suite must know of a driver that its capabilities do not say. */
export interface Peculiarities {
  /** Where a job sees its home. */
  home?(spec: SandboxSpec): string;
  /** Fails when something of the environment is left that only this driver makes. */
  nothingLeft?(spec: SandboxSpec): void;
  /** Where prefixes are wanted inside; /usr/local unless told. */
  readonly prefixPath?: string;
  /** For the process of `sandbox-launcher.ts`. */
  readonly orders?: object;
  /** `process`: whatever the agent's user may touch. */
  readonly unprotected?: boolean;
  /** Commands see the host's processes and system. */
  readonly seesHost?: boolean;
}

/** One suite for every sandbox, for one kind of files that it declares. */
export function sandboxSuite(
  name: string,
  sandbox: Sandbox,
  kind: SandboxSpec['files']['kind'],
  peculiar: Peculiarities,
): void {
  const { capabilities } = sandbox;
  let base = '';
  let made = 0;
  let sleeps = 0;
  const specs: SandboxSpec[] = [];
  const prepared: SandboxSpec[] = [];
  const server = createServer((_request, response) => response.end('reached'));
  let port = 0;

  before(async () => {
    base = await mkdtemp(join(tmpdir(), 'pomona-sandbox-'));
    await chmod(base, 0o711);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
  });
  after(async () => {
    for (const spec of specs) await sandbox.destroy(spec);
    server.close();
    await removeTree(base);
  });

  /** A spec with files that are there, not prepared. */
  async function described(changes: Changes = {}): Promise<SandboxSpec> {
    made += 1;
    const own = `pomona-test-${name}-${kind}-${process.pid}-${made}`;
    const dir = join(base, own);
    await mkdir(dir);
    await chmod(dir, 0o711);
    const files =
      kind === 'root'
        ? ({ kind, rootDir: join(dir, 'root') } as const)
        : ({
            kind,
            homeDir: join(dir, 'home'),
            prefixDir: join(dir, 'prefix'),
            prefixPath: peculiar.prefixPath ?? '/usr/local',
          } as const);
    if (files.kind === 'root') {
      await mkdir(files.rootDir);
      makeRoot(files.rootDir, staticBusybox() ?? '');
    } else {
      await mkdir(join(files.homeDir, 'work'), { recursive: true });
      await mkdir(join(files.prefixDir, 'bin'), { recursive: true });
      await writeFile(join(files.prefixDir, 'bin', 'tool'), '#!/bin/sh\necho from the prefix\n');
      await chmod(join(files.prefixDir, 'bin', 'tool'), 0o755);
    }
    const spec: SandboxSpec = {
      name: own,
      files,
      tmpDir: join(dir, 'tmp'),
      mounts: [],
      network: 'host',
      user: undefined,
      limits: {},
    };
    const whole = { ...spec, ...(typeof changes === 'function' ? changes(spec) : changes) };
    specs.push(whole);
    return whole;
  }

  /** Where only one can be, the one before makes room. */
  async function makeRoom(): Promise<void> {
    if (capabilities.concurrent) return;
    for (const spec of prepared.splice(0)) await sandbox.destroy(spec);
  }

  async function environment(changes: Changes = {}): Promise<SandboxSpec> {
    await makeRoom();
    const spec = await described(changes);
    prepared.push(spec);
    await sandbox.prepare(spec);
    return spec;
  }

  const workDir = kind === 'root' ? '/work' : 'work';

  async function run(
    spec: SandboxSpec,
    argv: string | readonly string[],
    env: Record<string, string> = {},
    dir = workDir,
  ) {
    const launch = await sandbox.launch(spec, {
      argv: typeof argv === 'string' ? ['sh', '-c', argv] : argv,
      env,
      workDir: dir,
    });
    const child = await startCommand(launch);
    const exit = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    assert.ok(child.stdout);
    const printed = text(child.stdout);
    const [code, signal] = await exit;
    return { code, signal, printed: () => printed };
  }

  /** A number of seconds that no other process sleeps: what is left of a job is known by it. */
  function longSleep(): string {
    sleeps += 1;
    return String(5_000_000 + (process.pid % 1000) * 1000 + sleeps);
  }

  async function sleeping(seconds: string): Promise<number> {
    const pids = await findProcesses({ argument: seconds });
    const living = await Promise.all(pids.map(processIdentity));
    return living.filter((identity) => identity !== undefined).length;
  }

  function nothingLeft(spec: SandboxSpec): void {
    assert.equal(readFileSync('/proc/mounts', 'utf8').includes(spec.name), false);
    for (const hierarchy of readdirSync('/sys/fs/cgroup')) {
      assert.equal(existsSync(join('/sys/fs/cgroup', hierarchy, 'pomona', spec.name)), false);
    }
    peculiar.nothingLeft?.(spec);
  }

  test('exit code, both outputs in order, environment and working directory', async () => {
    const spec = await environment();
    const { code, printed } = await run(
      spec,
      'echo 1; echo 2 >&2; echo 3; echo "$GREETING"; basename "$PWD"; touch ~/mine; exit 9',
      { GREETING: 'hello "$HOME"\n`id`' },
    );
    assert.equal(await printed(), '1\n2\n3\nhello "$HOME"\n`id`\nwork\n');
    assert.equal(code, 9);
  });

  test('arguments arrive as they are', async () => {
    const spec = await environment();
    const odd = ['', 'a b', "it's", '"$HOME"', '*', 'ü\n', '-x', '\\'];
    const { printed } = await run(spec, ['printf', '[%s]', ...odd]);
    assert.equal(await printed(), odd.map((word) => `[${word}]`).join(''));
  });

  test('a command that a signal ends says so', async () => {
    const spec = await environment();
    const { code, signal } = await run(spec, 'kill -TERM $$; sleep 5');
    assert.ok(signal === 'SIGTERM' || code === 143, `${code} ${signal}`);
  });

  test('a program that does not exist ends with 127', async () => {
    const spec = await environment();
    assert.equal((await run(spec, ['no-such-thing'])).code, 127);
  });

  test('the limit of open files holds', async () => {
    const spec = await environment({ limits: { openFiles: 64 } });
    assert.equal(await (await run(spec, 'ulimit -n')).printed(), '64\n');
  });

  test('the limit of memory holds', async (t) => {
    if (!capabilities.limits.memoryBytes) return t.skip('it cannot limit memory here');
    const spec = await environment({ limits: { memoryBytes: 64 * 2 ** 20 } });
    const { code } = await run(
      spec,
      `awk 'BEGIN { s = "x"; for (i = 0; i < 28; i += 1) s = s s; print length(s) }'`,
    );
    assert.notEqual(code, 0);
  });

  test('the limit of processes holds', async (t) => {
    if (!capabilities.limits.processes) return t.skip('it cannot limit processes here');
    const spec = await environment({ limits: { processes: 20 } });
    const seconds = longSleep();
    const script = `(for i in $(seq 60); do sleep ${seconds} & done) >/dev/null 2>&1; while :; do :; done`;
    const started = await startCommand(
      await sandbox.launch(spec, { argv: ['sh', '-c', script], env: {}, workDir }),
    );
    started.stdout?.resume();
    await new Promise((resolve) => setTimeout(resolve, 500));
    const count = await sleeping(seconds);
    assert.ok(count > 0 && count <= 20, `${count} run`);
    await sandbox.killAll(spec);
    assert.equal(await sleeping(seconds), 0);
  });

  test('processes that hide from their parent, ignore signals or are stopped are ended', async () => {
    const spec = await environment();
    const seconds = longSleep();
    const child = await startCommand(
      await sandbox.launch(spec, {
        argv: [
          'sh',
          '-c',
          `setsid env -i /bin/sleep ${seconds} >/dev/null 2>&1 &
           (trap '' TERM HUP INT; sleep ${seconds} & wait) >/dev/null 2>&1 &
           (setsid sh -c 'kill -STOP $$; sleep ${seconds}' >/dev/null 2>&1 &)
           trap '' TERM; echo started; while :; do sleep ${seconds}; done`,
        ],
        env: {},
        workDir,
      }),
    );
    const exit = once(child, 'exit');
    await once(child.stdout ?? child, 'data');
    await sandbox.terminate(spec);
    // What had not begun to sleep does so now, since it ignores what it was asked.
    while ((await sleeping(seconds)) === 0) {
      assert.equal(child.exitCode ?? child.signalCode, null);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await sandbox.killAll(spec);
    await exit;
    assert.equal(await sleeping(seconds), 0);
  });

  test('a command that heeds the request to end ends by itself', async () => {
    const spec = await environment();
    const script = `trap 'echo tidied up; exit 3' TERM; echo started; while :; do sleep 0.05; done`;
    const child = await startCommand(
      await sandbox.launch(spec, { argv: ['sh', '-c', script], env: {}, workDir }),
    );
    // Its output can come after its exit.
    const close = once(child, 'close');
    const printed: string[] = [];
    child.stdout?.on('data', (chunk: Buffer) => printed.push(chunk.toString()));
    while (!printed.join('').includes('started')) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await sandbox.terminate(spec);
    const late = setTimeout(() => void sandbox.killAll(spec), 10_000);
    await close;
    clearTimeout(late);
    await sandbox.killAll(spec);
    assert.match(printed.join(''), /tidied up/);
  });

  test('what is destroyed is gone, and destroying again, or what never was, is no error', async () => {
    const spec = await environment({ limits: { processes: 100 } });
    const seconds = longSleep();
    await run(spec, `sleep ${seconds} >/dev/null 2>&1 &`);
    await sandbox.destroy(spec);
    await sandbox.destroy(spec);
    await sandbox.destroy({ ...spec, name: `${spec.name}-never` });
    assert.equal(await sleeping(seconds), 0);
    nothingLeft(spec);
  });

  test('what a killed process launched is ended and removed by another', async () => {
    await makeRoom();
    const spec = await described();
    const seconds = longSleep();
    const script = `setsid sleep ${seconds} >/dev/null 2>&1 & echo started; exec sleep ${seconds}`;
    const launcher = spawn(process.execPath, [LAUNCHER], { stdio: ['pipe', 'pipe', 'inherit'] });
    const exit = once(launcher, 'exit');
    const command = { argv: ['sh', '-c', script], env: {}, workDir };
    launcher.stdin.end(JSON.stringify({ driver: name, spec, command, ...peculiar.orders }));
    await once(launcher.stdout, 'data');
    launcher.kill('SIGKILL');
    await exit;
    await sandbox.destroy(spec);
    assert.equal(await sleeping(seconds), 0);
    nothingLeft(spec);
  });

  test('a kind of files, a network or mounts that it does not declare are refused', async () => {
    await makeRoom();
    const refused: Partial<SandboxSpec>[] = [];
    if (!capabilities.network.none) refused.push({ network: 'none' });
    if (!capabilities.mounts) {
      refused.push({ mounts: [{ source: base, target: '/mnt', readOnly: true }] });
    }
    if (!capabilities.files.root) refused.push({ files: { kind: 'root', rootDir: base } });
    if (!capabilities.files.home) {
      const home = { homeDir: base, prefixDir: base, prefixPath: '/usr/local' };
      refused.push({ files: { kind: 'home', ...home } });
    }
    for (const changes of refused) {
      const spec = await described(changes);
      await assert.rejects(sandbox.prepare(spec), { code: 'unsupported' });
      await sandbox.destroy(spec);
      nothingLeft(spec);
    }
  });

  test('a command without words, with a NUL in one, or an odd variable is refused', async () => {
    const spec = await environment();
    for (const argv of [[], ['a\0b']]) {
      await assert.rejects(sandbox.launch(spec, { argv, env: {}, workDir }), {
        code: 'bad_command',
      });
    }
    for (const name of ['', 'a=b']) {
      const odd = { argv: ['true'], env: { [name]: 'x' }, workDir };
      await assert.rejects(sandbox.launch(spec, odd), { code: 'bad_command' });
    }
  });

  test('the network is the host’s, or none but loopback', async (t) => {
    const request = `printf 'GET / HTTP/1.0\\r\\n\\r\\n'`;
    const reach = `${request} | busybox nc -w 2 127.0.0.1 ${port} || echo not there`;
    const open = await environment();
    assert.match(await (await run(open, reach)).printed(), /reached$/);
    if (!capabilities.network.none) return t.diagnostic('it cannot take the network away');
    const closed = await environment({ network: 'none' });
    assert.match(await (await run(closed, reach)).printed(), /not there\n$/);
    const devices = await (await run(closed, 'grep -c : /proc/net/dev')).printed();
    if (peculiar.seesHost !== true) assert.match(devices, /^1\n/);
  });

  mountTests();
  if (kind === 'home') homeTests();
  else rootTests();

  function inside(spec: SandboxSpec): string {
    return kind === 'root' ? '/home/builder' : (peculiar.home?.(spec) ?? '/home/worker');
  }

  function mountTests(): void {
    const skip = capabilities.mounts ? false : 'it mounts nothing';

    async function source(label: string): Promise<string> {
      made += 1;
      const dir = join(base, `${label}-${made}`);
      await mkdir(dir);
      await writeFile(join(dir, 'there'), 'before\n');
      // As the owner of caches would: whoever the job is.
      await chmod(dir, 0o777);
      return dir;
    }

    test('what is written to a mount stays, at targets that did not exist', { skip }, async () => {
      const cache = await source('cache');
      const user = kind === 'root' ? ON_ROOT_ONLY : undefined;
      const spec = await environment((of) => ({
        user,
        mounts: [{ source: cache, target: `${inside(of)}/.cache/deep/er`, readOnly: false }],
      }));
      const target = spec.mounts[0]?.target;
      const script = `cat ${target}/there; echo after > ${target}/new && echo written`;
      assert.equal(await (await run(spec, script)).printed(), 'before\nwritten\n');
      await sandbox.destroy(spec);
      assert.equal(await readFile(join(cache, 'new'), 'utf8'), 'after\n');
      nothingLeft(spec);
    });

    test('a read-only mount can be read and not written', { skip }, async () => {
      const cache = await source('read-only');
      const spec = await environment((of) => ({
        mounts: [{ source: cache, target: `${inside(of)}/shared`, readOnly: true }],
      }));
      const target = spec.mounts[0]?.target;
      const script = `cat ${target}/there; echo x 2>&1 > ${target}/new; rm -f ${target}/there; true`;
      assert.match(await (await run(spec, script)).printed(), /^before\n/);
      await sandbox.destroy(spec);
      assert.deepEqual(readdirSync(cache), ['there']);
    });

    test('a secret is a file that only the job reads, gone with it', { skip }, async () => {
      const secret = join(base, `secret-${made}`);
      await writeFile(secret, 'pass word\n', { mode: 0o600 });
      const spec = await environment((of) => ({
        user: kind === 'root' ? ON_ROOT_ONLY : undefined,
        mounts: [{ source: secret, target: `${inside(of)}/secrets/token`, readOnly: true }],
      }));
      const target = spec.mounts[0]?.target;
      const script = `cat ${target}; ls -ln ${target} | cut -c1-10; id -u; ls -ln ${target} | awk '{ print $3 }'`;
      const lines = (await (await run(spec, script)).printed()).split('\n');
      assert.deepEqual(lines.slice(0, 2), ['pass word', '-r--------']);
      assert.equal(lines[2], lines[3]);
      await sandbox.destroy(spec);
      const { files } = spec;
      const dir = files.kind === 'root' ? `${files.rootDir}/home/builder` : files.homeDir;
      assert.equal(existsSync(join(dir, 'secrets/token')), false);
      assert.equal(existsSync(join(spec.tmpDir, 'secrets')), false);
      assert.equal(statSync(secret).mode & 0o777, 0o600);
    });

    test('links in the way of a mount lead nowhere on the host', { skip }, async () => {
      const cache = await source('escape');
      const marker = `pomona-escape-${process.pid}-${made}`;
      const spec = await described();
      const { files } = spec;
      const dir = files.kind === 'root' ? `${files.rootDir}/home/builder` : files.homeDir;
      await mkdir(dir, { recursive: true });
      await symlink('/', join(dir, 'absolute'));
      await symlink(`${'../'.repeat(20)}`, join(dir, 'relative'));
      await symlink('loop', join(dir, 'loop'));
      for (const link of ['absolute', 'relative', 'loop']) {
        await makeRoom();
        const target = `${inside(spec)}/${link}/var/tmp/${marker}`;
        const linked = { ...spec, mounts: [{ source: cache, target, readOnly: false }] };
        const error = await sandbox.prepare(linked).then(
          () => undefined,
          (reason: unknown) => reason as SandboxError,
        );
        if (error !== undefined) assert.equal(error.code, 'bad_mount');
        else await run(linked, `echo x > ${target}/in`);
        await sandbox.destroy(linked);
        assert.equal(existsSync(`/var/tmp/${marker}`), false);
        assert.equal(error !== undefined || kind === 'root' || peculiar.seesHost !== true, true);
        assert.equal(link === 'loop' ? error?.code : 'bad_mount', 'bad_mount');
      }
      nothingLeft(spec);
    });

    test('a mount that cannot be says which and why', { skip }, async () => {
      await makeRoom();
      const spec = await described();
      const home = inside(spec);
      const { files } = spec;
      const dir = files.kind === 'root' ? `${files.rootDir}/home/builder` : files.homeDir;
      await writeFile(join(dir, 'file'), '');
      const cache = await source('bad');
      const bad = [
        { source: join(base, 'missing'), target: `${home}/x` },
        { source: cache, target: `${home}/file` },
        { source: cache, target: `${home}/file/below` },
        { source: cache, target: '/proc/x' },
        { source: cache, target: kind === 'root' ? '/' : home },
      ];
      for (const mount of bad) {
        const wrong = { ...spec, mounts: [{ ...mount, readOnly: false }] };
        await assert.rejects(sandbox.prepare(wrong), (error: SandboxError) => {
          assert.equal(error.code, 'bad_mount', `${mount.target}: ${error.message}`);
          return error.message.includes(mount.target);
        });
        await sandbox.destroy(wrong);
      }
      nothingLeft(spec);
    });
  }

  function homeTests(): void {
    test('nothing of our own environment comes in, and the worker’s mark stays', async () => {
      process.env['SECRET_OF_THE_AGENT'] = 'x';
      const spec = await environment();
      const { printed } = await run(spec, 'env', { POMONA_WORKER: 'someone-else' });
      const env = (await printed()).split('\n');
      assert.ok(env.includes(`POMONA_WORKER=${spec.name}`));
      assert.equal(env.filter((line) => line.startsWith('SECRET_OF_THE_AGENT')).length, 0);
    });

    test('tools of the prefix are found', async () => {
      const spec = await environment();
      assert.equal(await (await run(spec, 'tool')).printed(), 'from the prefix\n');
    });

    const unprotected = peculiar.unprotected === true ? 'it protects nothing' : false;

    test(
      'a job can read neither what only root may, nor another’s home',
      { skip: unprotected },
      async () => {
        const mine = await environment();
        const other = capabilities.concurrent ? await environment() : await described();
        const { files } = other;
        assert.ok(files.kind === 'home');
        await chmod(files.homeDir, 0o700);
        const secret = join(base, `root-only-${made}`);
        await writeFile(secret, 'x', { mode: 0o600 });
        await writeFile(join(files.homeDir, 'private'), 'x');
        const { printed } = await run(mine, `cat ${secret} ${files.homeDir}/private /etc/shadow`);
        const lines = (await printed()).trim().split('\n');
        assert.equal(lines.length, 3);
        for (const line of lines) assert.match(line, /Permission denied|No such file/);
      },
    );

    test('files left in shared places go with the worker', { skip: unprotected }, async () => {
      const spec = await environment();
      const left = `left-${spec.name}`;
      await run(spec, `for d in /tmp /var/tmp /dev/shm; do echo x > $d/${left}; done; ipcmk -M 64`);
      await sandbox.destroy(spec);
      for (const dir of ['/tmp', '/var/tmp', '/dev/shm']) {
        await assert.rejects(readFile(join(dir, left)), { code: 'ENOENT' });
      }
      if (spec.files.kind === 'home') await rm(spec.files.homeDir, { recursive: true });
    });

    const hidden = peculiar.seesHost === true ? 'it shows the host’s processes' : false;

    test(
      'a job sees no process but its own and cannot write to the system',
      { skip: hidden },
      async () => {
        const spec = await environment();
        const { printed } = await run(
          spec,
          'ls -d /proc/[0-9]* | wc -l; touch /usr/x; touch /etc/x',
        );
        const [processes, ...errors] = (await printed()).trim().split('\n');
        assert.ok(Number(processes) < 8);
        for (const line of errors) assert.match(line, /Read-only|Permission denied/);
        assert.equal(errors.length, 2);
      },
    );
  }

  function rootTests(): void {
    const OF_SHELLS = new Set(['PWD', 'OLDPWD', 'SHLVL', '_']);

    test('the environment is what was given, with a PATH and a HOME', async () => {
      process.env['SECRET_OF_THE_AGENT'] = 'x';
      const spec = await environment({ user: ON_ROOT_ONLY });
      const { printed } = await run(spec, ['env'], { A: '1', LD_PRELOAD: '/no/such.so' });
      const env = (await printed())
        .trim()
        .split('\n')
        .filter((line) => !OF_SHELLS.has(line.split('=')[0] ?? ''));
      assert.deepEqual(env.toSorted(), [
        'A=1',
        'HOME=/home/builder',
        'LD_PRELOAD=/no/such.so',
        'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      ]);
      const { printed: second } = await run(spec, 'echo $HOME $PATH', { HOME: '/x', PATH: '/bin' });
      assert.equal(await second(), '/x /bin\n');
    });

    test('commands run as the user that is asked for', async () => {
      for (const [user, wanted] of [
        [undefined, '0 0\n'],
        [ON_ROOT_ONLY, '1000 1000\n'],
      ] as const) {
        const spec = await environment({ user });
        assert.equal(await (await run(spec, 'echo $(id -u) $(id -g)')).printed(), wanted);
        await run(spec, 'echo x > /work/mine');
        assert.ok(spec.files.kind === 'root');
        const { uid } = await lstat(join(spec.files.rootDir, 'work/mine'));
        assert.equal(uid, user?.uid ?? process.getuid?.());
      }
    });

    test('root may give files to any user, and become one', async (t) => {
      if (capabilities.userIds === 'one') return t.skip('it has one user id');
      const spec = await environment();
      const script = `echo x > f && chown 1234:5678 f && stat -c '%u:%g' f && su builder -c 'id -u'`;
      assert.equal(await (await run(spec, script)).printed(), '1234:5678\n1000\n');
      assert.ok(spec.files.kind === 'root');
      assert.equal((await lstat(join(spec.files.rootDir, 'work/f'))).uid, 1234);
    });

    test('root can neither mount, nor make devices, nor reach the host’s kernel', async () => {
      const spec = await environment();
      const attempts = [
        'mount -t tmpfs x /tmp',
        'mount -o remount,rw /proc/sys',
        'mknod /work/sda b 8 0 && head -c 1 /work/sda',
        ': >> /proc/sys/kernel/core_pattern',
        ': >> /proc/sysrq-trigger',
        'chroot /proc/1/root ls /sys/fs/cgroup/pomona',
        'unshare -m mount -t tmpfs x /tmp',
        'hostname other',
      ];
      for (const attempt of attempts) {
        assert.notEqual((await run(spec, attempt)).code, 0, attempt);
      }
    });

    test('a command gets its standard input and outputs, and no file that the sandbox opened', async () => {
      const spec = await environment({ fastSync: true });
      // What any child of this process gets, and the directory that `ls` reads.
      const usual = spawnSync('ls', ['/proc/self/fd'], { encoding: 'utf8' }).stdout.split('\n');
      const printed = await (await run(spec, ['ls', '/proc/self/fd'])).printed();
      const more = printed.split('\n').filter((file) => !usual.includes(file));
      assert.deepEqual(more, []);
    });

    test('no process is seen but one’s own, and nothing of the host’s files', async () => {
      const spec = await environment();
      const { printed } = await run(spec, 'ls -d /proc/[0-9]* | wc -l; ls /');
      const [processes, ...seen] = (await printed()).trim().split('\n');
      assert.ok(Number(processes) < 8);
      assert.deepEqual(seen, ['bin', 'dev', 'etc', 'home', 'proc', 'root', 'tmp', 'work']);
    });

    test('what is in /tmp stays for the next command, /dev/shm goes', async () => {
      const spec = await environment();
      await run(spec, 'echo kept > /tmp/x; echo gone > /dev/shm/x');
      await sandbox.destroy(spec);
      await sandbox.prepare(spec);
      const { printed } = await run(spec, 'cat /tmp/x; ls /dev/shm');
      assert.equal(await printed(), 'kept\n');
    });

    test('a missing working directory is made, and is the user’s', async () => {
      const spec = await environment({ user: ON_ROOT_ONLY });
      const { printed } = await run(spec, 'pwd; echo x > y && echo written', {}, '/opt/src/deep');
      assert.equal(await printed(), '/opt/src/deep\nwritten\n');
    });

    test('hosts have names, the resolver is the host’s, and neither stays in the root', async () => {
      const spec = await environment();
      const { printed } = await run(spec, 'grep -c localhost /etc/hosts; cat /etc/resolv.conf');
      const resolver = await readFile('/etc/resolv.conf', 'utf8').catch(() => '');
      assert.equal(await printed(), `2\n${resolver}`);
      await sandbox.destroy(spec);
      assert.ok(spec.files.kind === 'root');
      assert.deepEqual(readdirSync(join(spec.files.rootDir, 'etc')), ['passwd']);
    });

    test('a root that has links where the system mounts is refused', async () => {
      const spec = await described();
      assert.ok(spec.files.kind === 'root');
      await symlink('../../../../../../..', join(spec.files.rootDir, 'proc'));
      await assert.rejects(sandbox.prepare(spec), { code: 'bad_mount' });
      await sandbox.destroy(spec);
      nothingLeft(spec);
    });

    test('an empty file that was there before a secret was mounted on it stays', async () => {
      const secret = join(base, 'secret-over');
      await writeFile(secret, 'x', { mode: 0o600 });
      const mounts = [{ source: secret, target: '/etc/token', readOnly: true }];
      const spec = await described({ mounts });
      assert.ok(spec.files.kind === 'root');
      const there = join(spec.files.rootDir, 'etc/token');
      await writeFile(there, '');
      if (process.getuid?.() === 0) await chown(there, 0, 0);
      await sandbox.prepare(spec);
      assert.equal(await (await run(spec, 'cat /etc/token')).printed(), 'x');
      await sandbox.destroy(spec);
      assert.equal(statSync(there).size, 0);
    });

    test('what waits for the disk returns at once with fast-sync', async (t) => {
      if (!capabilities.fastSync) return t.skip('it has no fast-sync');
      // A device cannot be synced: the call fails, unless nobody makes it.
      const script = 'dd if=/dev/zero of=/dev/null count=1 conv=fsync 2>/dev/null && echo answered';
      const slow = await environment();
      assert.equal(await (await run(slow, script)).printed(), '');
      const fast = await environment({ fastSync: true });
      assert.equal(await (await run(fast, script)).printed(), 'answered\n');
      assert.equal(await (await run(fast, 'sync && echo x > f && cat f')).printed(), 'x\n');
    });
  }
}
