/**
 * Makes the pictures of docs/guides/dashboard.md: a fleet of pretended hosts and one real one, some minutes
 * of jobs, and a browser that looks at them.
 *
 *   npm run build && node scripts/screenshots.ts [minutes]      (default: 4)
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeRoot, staticBusybox } from '../test/contract/root-file-system.ts';
import { Person, startBrowser } from '../test/dashboard-page.ts';
import { Pomona } from '../test/system/pomona.ts';

const MINUTES = Number(process.argv[2] ?? 4);
const TO = fileURLToPath(new URL('../docs/guides/dashboard', import.meta.url));
const RACKS = 4;
const HOSTS_OF_RACK = 12;

const CONFIG = `
pools:
  - { name: default, labels: [default], ready: 2, max: 4, hostLabels: [real] }
  - { name: builds, kind: build, hostLabels: [real] }
  - { name: macos-26, labels: [macos-26], kind: vm, vm: synthetic, guest: linux, ready: 24, max: 90 }
  - { name: strangers, labels: [fork], kind: vm, vm: synthetic, guest: linux, ready: 6, max: 12, trust: untrusted }
prices: { currency: EUR, hosts: [{ labels: [real], perHour: 0.4 }, { perHour: 0.65 }] }
`;

/** What prints colours, groups and many lines. */
const SCRIPT = `
printf '\\033[1mInstalling\\033[0m\\n'
echo '::group::npm ci'; seq -f 'added package %.0f' 1 12; echo '::endgroup::'
for n in $(seq 1 400); do printf '\\033[32m✓\\033[0m test %s passed\\n' $n; sleep 0.2; done
echo '<testsuite/>' > report.xml; sleep 600`;

await mkdir(TO, { recursive: true });
const pomona = await Pomona.make();
const url = `http://127.0.0.1:${pomona.port}`;
try {
  await writeFile(join(pomona.data, 'pomona.yaml'), CONFIG);
  await pomona.start(['serve', '--data', pomona.data, '--listen', `127.0.0.1:${pomona.port}`]);
  const token = join(pomona.data, 'join.token');
  await pomona.run(['token', 'join', '--uses', '100', '--output', token]);
  const agent = ['agent', 'run', '--controller', url, '--join-token-file', token];
  await pomona.start([
    ...[...agent, '--name', 'studio-1', '--label', 'real', '--label', 'rack=0'],
    ...[
      '--data',
      join(pomona.data, 'agent'),
      '--build-store',
      `copy:${join(pomona.data, 'builds')}`,
    ],
  ]);
  for (let rack = 1; rack <= RACKS; rack += 1) {
    await pomona.start([
      ...[...agent, '--name', `mini-${rack}`, '--label', `rack=${rack}`, '--workers', '2'],
      ...['--synthetic', String(HOSTS_OF_RACK), '--data', join(pomona.data, `rack-${rack}`)],
    ]);
  }
  const busy = pretendWork();
  await build();
  const colourful = await run([
    ...['--title', 'unit tests (main)', '--artifact', '*.xml'],
    ...['--', 'sh', '-c', SCRIPT],
  ]);
  await new Promise((resolve) => setTimeout(resolve, MINUTES * 60_000));
  await pomona.run(['host', 'drain', 'mini-2-4']);
  await pomona.run(['host', 'quarantine', 'mini-3-7', '--reason', '5 of 6 workers failed to boot']);
  await run(['--label', 'fork', '--host', 'mini-3-7', '--title', 'waits for a host', '--', 'true']);
  await look(colourful);
  busy.stop();
} finally {
  await pomona.remove();
}

/** Jobs that come in waves, as people's do. */
function pretendWork(): { stop(): void } {
  let n = 0;
  const timer = setInterval(() => {
    n += 1;
    const wave = Math.round(3 + 3 * Math.sin(n / 12));
    for (let job = 0; job < wave; job += 1) {
      const seconds = 10 + ((n * 7 + job * 13) % 40);
      const label = job === 0 ? 'fork' : 'macos-26';
      const title = `${label === 'fork' ? 'pull request' : 'build and test'} #${n * 10 + job}`;
      const command = n % 17 === 0 ? ['exit', '1'] : ['sleep', String(seconds)];
      void run(['--label', label, '--title', title, '--', ...command]);
    }
  }, 2_000);
  return { stop: () => clearInterval(timer) };
}

async function run(args: readonly string[]): Promise<string> {
  return (await pomona.run(['run', '--detach', ...args])).out.trim();
}

async function build(): Promise<void> {
  const context = join(pomona.data, 'context');
  await mkdir(join(context, 'base'), { recursive: true });
  makeRoot(join(context, 'base'), staticBusybox() ?? '');
  for (const more of ['', '(run (shell "sleep 2; echo linked"))']) {
    const nested = (name: string, ...ops: string[]) =>
      `(build ${name} ((from ./base) (shell /bin/sh -c) ${ops.join(' ')}))`;
    const steps = [
      nested('deps', '(run (shell "sleep 1; echo fetched > /deps; seq 1 20"))'),
      nested(
        'tools',
        '(copy (from (build deps)) (src /deps) (dst /deps))',
        '(run (shell "dd if=/dev/zero of=/tool bs=1048576 count=24"))',
      ),
      '(from ./base) (shell /bin/sh -c)',
      '(copy (from (build deps)) (src /deps) (dst /deps))',
      '(run (shell "sleep 1; echo configured"))',
      '(copy (from (build tools)) (src /tool) (dst /tool))',
      '(run (shell "sleep 1; echo compiled"))',
    ];
    await writeFile(join(context, 'app.spec'), `(${steps.join(' ')} ${more})`);
    await pomona.run(['build', '--remote', join(context, 'app.spec')]);
  }
}

async function look(colourful: string): Promise<void> {
  const browser = await startBrowser();
  const me = await Person.come(browser, url, { width: 1280 });
  await me.signIn(await pomona.adminToken());
  const headers = { authorization: `Bearer ${await pomona.adminToken()}` };
  const answer = await fetch(`${url}/api/v1/jobs?builds=true`, { headers });
  const { items } = (await answer.json()) as { items: readonly { readonly id: string }[] };
  const last = items[0]?.id ?? '';
  const pages: readonly (readonly [string, string])[] = [
    ['fleet', '/?group=rack'],
    ['jobs', '/jobs'],
    ['job', `/jobs/${colourful}`],
    ['workers', '/workers'],
    ['pools', '/pools'],
    ['pool', '/pools/macos-26?hours=1'],
    ['images', '/images'],
    ['builds', '/builds'],
    ['build', `/jobs/${last}`],
    ['capacity', '/capacity?hours=1'],
    ['admin', '/admin?tab=audit'],
  ];
  for (const [name, path] of pages) {
    await me.go(path);
    await me.page.locator('.loading').first().waitFor({ state: 'detached' });
    // Charts and logs are drawn a moment after what they show has come.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await me.page.screenshot({ path: join(TO, `${name}.png`) });
    process.stdout.write(`${name}.png\n`);
  }
  await me.page.emulateMedia({ colorScheme: 'dark' });
  await me.go('/');
  await me.page.getByRole('article').first().waitFor();
  await me.page.screenshot({ path: join(TO, 'fleet-dark.png') });
  await browser.close();
}
