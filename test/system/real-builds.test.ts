import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { npmEnvironment } from '../../scripts/npm-environment.ts';
import { removeTree } from '../../src/platform/tree.ts';
import { loopFileSystem, type LoopFileSystem } from '../loop-file-system.ts';

const POMONA = fileURLToPath(new URL('../../bin/pomona', import.meta.url));
const noCompiler = spawnSync('cc', ['--version']).error !== undefined && 'there is no C compiler';

/** Real projects: an npm package with its own tests, and C compiled to a native add-on. */
const SPEC = `
((from ../base)
 (workdir project)
 ENV
 (copy (src package.json) (dst ./))
 (run (cache (npm (target /home/worker/.npm))) (network host)
      (shell "npm install --no-audit --no-fund --ignore-scripts"))
 (copy (src minimist) (dst /home/worker/) (exclude node_modules))
 (run (shell "cp -r ~/minimist/. . && node_modules/.bin/tape 'test/*.js' > report.tap; grep '^# [tpf][ea][sia]' report.tap"))
 (run (shell "mkdir -p build && cc -shared -fPIC -O2 -I node_modules/node-api-headers/include -o build/bufferutil.node node_modules/bufferutil/src/bufferutil.c && echo compiled"))
 (copy (src addon.js) (dst ./))
 (run (secrets (token (target /tmp/token))) (shell "node addon.js && wc -c < /tmp/token")))
`;
const ADDON = `
const { mask } = require('./build/bufferutil.node');
const out = Buffer.alloc(8);
mask(Buffer.from('pomona!!'), Buffer.from([1, 2, 3, 4]), out, 0, 8);
console.log(out.toString('hex'));
`;
const MASKED = Buffer.from(
  [...Buffer.from('pomona!!')].map((byte, index) => byte ^ ((index % 4) + 1)),
).toString('hex');

const STORES = [
  { driver: 'copy', on: undefined },
  { driver: 'overlayfs', on: 'ext4' },
  { driver: 'reflink', on: 'xfs' },
  { driver: 'btrfs', on: 'btrfs' },
] as const;

describe('real projects are built and tested', { skip: noCompiler }, () => {
  const dir = mkdtempSync(join(tmpdir(), 'pomona-real-'));
  before(async () => {
    chmodSync(dir, 0o711);
    for (const part of ['base/home', 'base/prefix', 'context']) {
      mkdirSync(join(dir, part), { recursive: true });
    }
    const context = join(dir, 'context');
    execFileSync('npm', ['pack', '--silent', 'minimist@1.2.8'], { cwd: context, stdio: 'pipe' });
    execFileSync('tar', ['-xzf', 'minimist-1.2.8.tgz'], { cwd: context });
    execFileSync('mv', ['package', 'minimist'], { cwd: context });
    const env = Object.entries(npmEnvironment()).map(([name, value]) => `(env ${name} "${value}")`);
    await writeFile(join(context, 'project.spec'), SPEC.replace('ENV', env.join('\n ')));
    const dependencies = { tape: '5.9.0', bufferutil: '4.0.8', 'node-api-headers': '1.5.0' };
    await writeFile(join(context, 'package.json'), JSON.stringify({ dependencies }));
    await writeFile(join(context, 'addon.js'), ADDON);
    await writeFile(join(dir, 'token'), 'a secret of 22 bytes..');
  });
  after(() => removeTree(dir));

  async function build(store: string) {
    const args = ['build', 'project.spec', '--store', store, '--secret', `token=${dir}/token`];
    const child = spawn(POMONA, [...args, '--json'], { cwd: join(dir, 'context') });
    const [out, err, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'exit'),
    ]);
    assert.equal(code, 0, out + err);
    const events = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; how?: string; text?: string });
    return {
      how: events.flatMap((event) => (event.type === 'done' ? [event.how] : [])),
      output: events.flatMap((event) => (event.type === 'output' ? [event.text] : [])).join(''),
    };
  }

  for (const { driver, on } of STORES) {
    const disk = on === undefined ? undefined : loopFileSystem(on, 1024);
    test(
      `over ${driver}${on === undefined ? '' : ` on ${on}`}; a change runs only what is after it`,
      {
        skip: typeof disk === 'string' && disk,
      },
      async () => {
        const place = disk as LoopFileSystem | undefined;
        const store = `${driver}:${join(place?.dir ?? dir, 'store')}`;
        try {
          const first = await build(store);
          assert.deepEqual(first.how, Array(8).fill('made'));
          assert.match(first.output, /# tests 15\d\n# pass {2}15\d\n/);
          assert.match(first.output, new RegExp(`compiled\n${MASKED}\n22\n`));
          assert.deepEqual((await build(store)).how, Array(8).fill('cached'));
          await writeFile(join(dir, 'context/addon.js'), `${ADDON}console.log('changed');\n`);
          const changed = await build(store);
          assert.deepEqual(changed.how, [...Array(6).fill('cached'), 'made', 'made']);
          assert.match(changed.output, new RegExp(`${MASKED}\nchanged\n22\n`));
          await writeFile(join(dir, 'context/addon.js'), ADDON);
          assert.deepEqual((await build(store)).how, Array(8).fill('cached'));
          const index = join(dir, 'context/minimist/index.js');
          const source = await readFile(index, 'utf8');
          await writeFile(index, `${source}\n// changed\n`);
          const touched = await build(store);
          await writeFile(index, source);
          assert.deepEqual(touched.how, [...Array(3).fill('cached'), ...Array(5).fill('made')]);
        } finally {
          place?.remove();
        }
      },
    );
  }
});
