import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { makeManifest } from '../copy/manifest.ts';
import { parseSpec } from '../spec/parse.ts';
import type { CopyOp, RunOp } from '../spec/spec.ts';
import { initialContext } from '../step-context.ts';
import { canonicalHash, type Canonical } from './canonical.ts';
import { obuilderIds } from './obuilder-ids.ts';
import {
  baseKey,
  copyKey,
  finalizeKey,
  manifestHash,
  manualKey,
  runKey,
  secretTag,
} from './step-keys.ts';

const signal = new AbortController().signal;
const PARENT = baseKey(`sha256:${'0'.repeat(64)}`);
const opOf = <T extends RunOp | CopyOp>(text: string) =>
  parseSpec(`((from x) ${text})`, 'f').spec.ops[0] as T;

async function tree(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'pomona-keys-'));
  t.after(() => rm(dir, { recursive: true }));
  await mkdir(join(dir, 'src/deep'), { recursive: true });
  await writeFile(join(dir, 'src/a'), 'content of a\n');
  await writeFile(join(dir, 'src/deep/run'), '#!/bin/sh\n', { mode: 0o755 });
  await symlink('../a', join(dir, 'src/deep/link'));
  return dir;
}

test('keys are those of the documented vectors', async (t) => {
  const dir = await tree(t);
  const context = initialContext({ PATH: '/bin' });
  const run = opOf<RunOp>('(run (network host) (secrets (token)) (shell "make all"))');
  const copy = opOf<CopyOp>('(copy (src src) (dst /in/))');
  const entries = await makeManifest({ root: dir, src: ['src'], exclude: [], signal });
  const vectors = {
    'a base': PARENT,
    'a secret’s tag': secretTag(Buffer.alloc(32, 1), Buffer.from('hunter2')),
    'a run': runKey(PARENT, context, run, [secretTag(Buffer.alloc(32, 1), Buffer.from('hunter2'))]),
    'a manifest': manifestHash(entries),
    'a copy': copyKey(PARENT, context, copy, manifestHash(entries)),
    'a manual': manualKey(PARENT, { op: 'manual', text: 'Set it up', check: 'true' }),
    'a finalize': finalizeKey(PARENT, { op: 'finalize', paths: ['/opt/keys'] }),
  };
  const page = await readFile(
    new URL('../../../docs/reference/build-keys.md', import.meta.url),
    'utf8',
  );
  for (const [name, key] of Object.entries(vectors)) {
    assert(page.includes(`| ${name} | \`${key}\` |`), `${name} is ${key}`);
  }
});

test('no two values have the same encoding', () => {
  const value = fc.letrec<{ value: Canonical }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      fc.string({ maxLength: 3 }),
      fc.array(tie('value'), { maxLength: 3 }),
    ),
  })).value;
  fc.assert(
    fc.property(value, value, (left, right) => {
      const same = JSON.stringify(left) === JSON.stringify(right);
      assert.equal(canonicalHash(left) === canonicalHash(right), same);
    }),
  );
});

test('what changes a step’s result changes its key, and nothing else does', () => {
  const context = initialContext({ A: '1', B: '2' });
  const base = opOf<RunOp>('(run (secrets (s (target /s))) (shell x))');
  const key = runKey(PARENT, context, base, ['tag']);
  const others = [
    runKey(baseKey('sha256:other'), context, base, ['tag']),
    runKey(PARENT, { ...context, workdir: '/w' }, base, ['tag']),
    runKey(PARENT, { ...context, user: { uid: 1, gid: 0 } }, base, ['tag']),
    runKey(PARENT, { ...context, user: { name: '0' } }, base, ['tag']),
    runKey(PARENT, { ...context, shell: ['/bin/sh', '-c'] }, base, ['tag']),
    runKey(PARENT, initialContext({ A: '1' }), base, ['tag']),
    runKey(PARENT, context, { ...base, shell: 'y' }, ['tag']),
    runKey(PARENT, context, { ...base, network: ['host'] }, ['tag']),
    runKey(PARENT, context, base, ['other']),
    runKey(PARENT, context, { ...base, secrets: [{ id: 's', target: '/t' }] }, ['tag']),
  ];
  assert.equal(new Set([key, ...others]).size, others.length + 1);
  const caches = [{ id: 'c', target: '/c', buildkitOptions: [] }];
  assert.equal(runKey(PARENT, context, { ...base, caches }, ['tag']), key);
  assert.equal(runKey(PARENT, initialContext({ B: '2', A: '1' }), base, ['tag']), key);
});

test('a manifest is of content, executable bits, links and names', async (t) => {
  const dir = await tree(t);
  const hash = async () =>
    manifestHash(await makeManifest({ root: dir, src: ['src'], exclude: [], signal }));
  const first = await hash();
  await chmod(join(dir, 'src/a'), 0o600);
  assert.equal(await hash(), first);
  await chmod(join(dir, 'src/a'), 0o700);
  const executable = await hash();
  await writeFile(join(dir, 'src/a'), 'content of A\n');
  const changed = await hash();
  await rm(join(dir, 'src/deep/link'));
  await symlink('../b', join(dir, 'src/deep/link'));
  const linked = await hash();
  await mkdir(join(dir, 'src/empty'));
  assert.equal(new Set([first, executable, changed, linked, await hash()]).size, 5);
});

test('OBuilder’s ids follow its recipe, and give the one that its users wrote down', async (t) => {
  const dir = await tree(t);
  const spec = parseSpec(
    `((from macos-homebrew-ocaml-5.0)
      (env A 1) (env A "2 3") (workdir /w) (user (uid 1000) (gid 1000))
      (run (network host) (secrets (s (target /s))) (shell "opam install"))
      (copy (src src/a) (dst here))
      (copy (src src) (dst /in/)))`,
    'f',
  ).spec;
  const ids = await obuilderIds(spec, {
    ...{ root: dir, env: { PATH: '/bin' }, signal },
    secrets: new Map([['s', 'value']]),
  });
  const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
  const base = '645c2ef2f88fa001579e248001924f94ff36415fd9c5ec359cc6a6e8cd432525';
  assert.equal(ids[0]?.id, base);
  const run = sha256(
    `((base ${base})(workdir /w)(user((uid 1000)(gid 1000)))(env((A"2 3")(PATH /bin)))(cmd"opam install")(shell(/bin/bash -c))(network(host))(mount_secrets(((value value)(target /s)))))`,
  );
  assert.equal(ids[1]?.id, run);
  const a = sha256('content of a\n');
  const one = sha256(
    `((base ${run})(user((uid 1000)(gid 1000)))(op(Copy_item((File(src/a ${a}))/w/here))))`,
  );
  assert.equal(ids[2]?.id, one);
  const program = sha256('#!/bin/sh\n');
  const many = sha256(
    `((base ${one})(user((uid 1000)(gid 1000)))(op(Copy_items(((Dir(src((File(src/a ${a}))(Dir(src/deep((Symlink(src/deep/link ../a))(File(src/deep/run ${program})))))))))/in/))))`,
  );
  assert.equal(ids[3]?.id, many);
});
