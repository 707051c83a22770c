import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { checkSpec } from './check.ts';
import { specToDockerfile } from './dockerfile.ts';
import { formOf, parseSpec } from './parse.ts';
import { machineSexp, type SexpValue } from './sexp-write.ts';
import { readSexp, type Sexp } from './sexp-read.ts';
import { Positions, SpecError } from './source.ts';
import type { Machine, Op, Spec } from './spec.ts';
import { specToSexp } from './to-sexp.ts';
import { specToYaml } from './to-yaml.ts';

const plain = (sexp: Sexp): SexpValue => ('atom' in sexp ? sexp.atom : sexp.list.map(plain));
const read = (text: string) => plain(readSexp(text, 'f'));

const plainRecord = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record<T>(model, { noNullPrototype: true });
const text = fc
  .oneof(
    fc.string({ unit: 'grapheme', maxLength: 12 }),
    fc.constantFrom(
      'true',
      '0',
      'null',
      '~',
      '1.10',
      'yes',
      '- a',
      '# x',
      ': ',
      '"',
      "'",
      '\n',
      '|',
      '#|',
    ),
  )
  .filter((value) => !value.includes('\0'));
const word = text.filter((value) => value !== '' && !/[=/]/.test(value) && !value.endsWith('/'));
const unique = <T>(arb: fc.Arbitrary<T>, key: (value: T) => string) =>
  fc.uniqueArray(arb, { maxLength: 3, selector: key });
const told = word.map((each) => `do ${each}`);
const op: fc.Arbitrary<Op> = fc.oneof(
  plainRecord({ op: fc.constant('comment' as const), text }),
  plainRecord({ op: fc.constant('workdir' as const), dir: word }),
  plainRecord({
    op: fc.constant('shell' as const),
    argv: fc.array(text, { minLength: 1, maxLength: 3 }),
  }),
  plainRecord({
    op: fc.constant('user' as const),
    user: fc.oneof(plainRecord({ uid: fc.nat(), gid: fc.nat() }), plainRecord({ name: text })),
  }),
  plainRecord({ op: fc.constant('env' as const), name: word, value: text }),
  plainRecord({
    caches: unique(
      plainRecord({
        id: word,
        target: word.map((each) => `/c/${each}`),
        buildkitOptions: unique(fc.tuple(word, text), ([name]) => name),
      }),
      ({ target }) => target,
    ).map((all) => all.filter(({ id }, at) => all.findIndex((one) => one.id === id) === at)),
    network: fc.array(text, { maxLength: 2 }),
    secrets: unique(
      plainRecord({ id: word, target: word.map((each) => `/s/${each}`) }),
      ({ target }) => target,
    ).map((all) => all.filter(({ id }, at) => all.findIndex((one) => one.id === id) === at)),
    shell: text,
  }).map((run) => ({ op: 'run' as const, ...run })),
  plainRecord({
    op: fc.constant('copy' as const),
    from: fc.constant(undefined),
    src: fc.array(text, { minLength: 1, maxLength: 3 }),
    dst: word.map((each) => `${each}/`),
    exclude: fc.array(word, { maxLength: 2 }),
  }),
  plainRecord({
    op: fc.constant('manual' as const),
    text: told,
    check: fc.option(told, { nil: undefined }),
  }),
);
const machine: fc.Arbitrary<Machine> = fc
  .record(
    {
      driver: fc.constantFrom('tart', 'qemu'),
      guest: fc.constantFrom('macos' as const, 'linux' as const),
      user: fc.constant('admin'),
      cpus: fc.integer({ min: 1, max: 64 }),
      memoryBytes: fc.integer({ min: 1, max: 2 ** 40 }),
      diskBytes: fc.integer({ min: 1, max: 64 }).map((gib) => gib * 2 ** 30),
    },
    { requiredKeys: [] },
  )
  .map((fields) => ({ ...fields }));
const spec: fc.Arbitrary<Spec> = fc.letrec<{ spec: Spec }>((tie) => ({
  spec: plainRecord({
    builds: fc.oneof(
      { maxDepth: 2, withCrossShrink: true },
      fc.constant([]),
      fc.uniqueArray(plainRecord({ name: word, spec: tie('spec') }), {
        maxLength: 2,
        selector: ({ name }) => name,
      }),
    ),
    from: word,
    machine: fc.option(machine, { nil: undefined }),
    ops: fc.array(op, { maxLength: 5 }),
    finalize: fc.option(fc.array(told, { maxLength: 2 }), { nil: undefined }),
  }).map(({ machine: runs, ops, finalize, ...rest }): Spec => ({
    ...rest,
    ...(runs === undefined ? {} : { machine: runs }),
    ops: finalize === undefined ? ops : [...ops, { op: 'finalize', paths: finalize }],
  })),
})).spec;

describe('S-expressions', () => {
  it('are read with OCaml’s quoting and its three kinds of comment', () => {
    assert.deepEqual(read('(a "b c" "\\n\\t\\\\\\"\\065\\x42" "caf\\195\\169")'), [
      'a',
      'b c',
      '\n\t\\"AB',
      'café',
    ]);
    assert.deepEqual(read('; first\n(a #| b #| c |# ) |# d #;(e f) g ; h\n)'), ['a', 'd', 'g']);
    assert.deepEqual(read('("one \\\n      line" \\d "\\d")'), ['one line', '\\d', '\\d']);
  });

  it('come back as they were written, whatever is in them', () => {
    const sexp = fc.letrec<{ value: SexpValue }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        fc.string({ unit: 'grapheme' }),
        fc.array(tie('value'), { maxLength: 4 }),
      ),
    })).value;
    fc.assert(
      fc.property(fc.array(sexp, { maxLength: 4 }), (value) =>
        assert.deepEqual(read(machineSexp(value)), value),
      ),
    );
  });

  it('have a space in their machine form only where two plain atoms meet', () => {
    assert.equal(machineSexp(['a', 'b', ['c'], 'd', 'e f', 'g', '']), '(a b(c)d"e f"g"")');
  });

  it('that are broken are told with their place', () => {
    for (const [broken, message] of [
      ['', /f:1:1: expected a build/],
      ['((from a)', /f:1:1: this "\(" has no "\)"/],
      ['((from a)))', /f:1:11: expected the end/],
      ['(a\n "b', /f:2:2: this '"' has no end/],
      ['(a #| b', /f:1:4: this "#\|" has no "\|#"/],
      ['("\\300")', /f:1:3: \\300 is no byte/],
      ['("\\255")', /f:1:2: the escapes of this string make no UTF-8/],
      ['('.repeat(10_000), /deep/],
    ] as const) {
      assert.throws(() => readSexp(broken, 'f'), message);
    }
  });
});

describe('specs', () => {
  it('are told by their content', () => {
    assert.equal(formOf('; a comment\n ((from a))'), 'sexp');
    assert.equal(formOf('#| a |# ((from a))'), 'sexp');
    assert.equal(formOf('# a comment\nfrom: a'), 'yaml');
  });

  it('mean the same in both forms, and come back as they were', () => {
    fc.assert(
      fc.property(spec, (value) => {
        assert.deepEqual(checkSpec(value, new Positions('f')), []);
        for (const write of [specToSexp, specToYaml]) {
          const written = write(value);
          const parsed = parseSpec(written, 'f');
          assert.equal(parsed.form, write === specToSexp ? 'sexp' : 'yaml');
          assert.deepEqual(parsed.spec, value);
          assert.equal(write(parsed.spec), written);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('have all operations of OBuilder, with their defaults', () => {
    const { spec: parsed } = parseSpec(
      `((build dev ((from ocaml/opam:debian-12)
          (user (uid 1000) (gid 1000))
          (workdir /src)
          (env OPAMYES 1)
          (run (cache (opam (target /home/opam/.opam/download-cache) (buildkit_options (sharing private))))
               (network host) (secrets (token)) (shell "opam install dune"))
          (copy (src a b) (dst ./) (exclude .git _build))))
        (from debian:12)
        (comment "runs it")
        (shell /bin/sh -c)
        (user (name builder))
        (copy (from (build dev)) (src /src/_build/x) (dst /usr/bin/x)))`,
      'f',
    );
    const [dev] = parsed.builds;
    assert.deepEqual(dev?.spec.ops[3], {
      op: 'run',
      caches: [
        {
          id: 'opam',
          target: '/home/opam/.opam/download-cache',
          buildkitOptions: [['sharing', 'private']],
        },
      ],
      network: ['host'],
      secrets: [{ id: 'token', target: '/run/secrets/token' }],
      shell: 'opam install dune',
    });
    assert.deepEqual(parsed.ops.at(-1), {
      op: 'copy',
      from: 'dev',
      src: ['/src/_build/x'],
      dst: '/usr/bin/x',
      exclude: [],
    });
  });

  it('may be YAML with short forms', () => {
    const { spec: parsed } = parseSpec(
      [
        'from: debian:12',
        'steps:',
        '  - env: { A: 1, B: yes }',
        '  - run: make',
        '  - run: { shell: make test, network: [host], cache: { npm: /root/.npm }, secrets: [token] }',
        '  - copy: { src: ., dst: /src/ }',
      ].join('\n'),
      'f',
    );
    assert.deepEqual(parsed.ops.slice(0, 2), [
      { op: 'env', name: 'A', value: '1' },
      { op: 'env', name: 'B', value: 'yes' },
    ]);
    assert.equal(parsed.ops.length, 5);
  });

  it('that are wrong are told with file, line, column and what was expected', () => {
    for (const [wrong, message] of [
      ['((fron a))', /^f:1:2: expected \(from BASE\)/],
      ['((from a) (rnu (shell x)))', /^f:1:11: there is no operation rnu; did you mean run\?/],
      ['((from a)\n (run (shell x y)))', /^f:2:7: shell: expected one command; quote it/],
      [
        '((from a) (run (cache (c (targte /x))) (shell y)))',
        /^f:1:26: c has no targte; did you mean target/,
      ],
      ['((from a) (user (uid x) (gid 1)))', /^f:1:17: expected a uid from 0 to 4294967294, not x/],
      ['((from a) (copy (src a b) (dst c)))', /^f:1:11: several files cannot become c; write c\//],
      [
        '((from a) (copy (from (build x)) (src a) (dst c)))',
        /no nested build before this is named x \(there are none\)/,
      ],
      ['((from a) (run (secrets (s) (s)) (shell x)))', /secret s is given twice/],
      ['((from a) (from b))', /^f:1:11: \(from \.\.\.\) stands before all operations, once/],
      ['from: a\nsteps:\n  - rnu: x', /^f:3:5: unknown key rnu; did you mean run\?/],
      ['from: a\nsteps:\n  - run: x\n    copy: y', /^f:3:5: expected one of/],
      ['((from a) (machine (cpus many)))', /^f:1:20: cpus: expected a number of CPUs, not many/],
      ['((from a) (run (shell x)) (machine))', /^f:1:27: \(machine \.\.\.\) stands right after/],
      ['((from a) (finalize) (run (shell x)))', /^f:1:22: nothing may come after finalize/],
      ['((from a) (manual))', /^f:1:11: expected \(manual TEXT\)/],
      ['((from a) (manual ""))', /^f:1:11: manual tells a person nothing/],
      ['from: a\nmachine: { gest: linux }', /^f:2:12: unknown key gest; did you mean guest\?/],
      ['from: a\nmachine: { memory: big }', /^f:2:20: memory: expected a size such as 8GiB/],
      ['steps: []', /^f:1:1: expected `from: BASE`/],
      ['from: [a]', /^f:1:7: expected a base/],
      ['from: a\nsteps:\n  - run: {}', /^f:3:10: expected `shell: COMMAND`/],
      ['a: b: c', /^f:1:/],
      ['', /^f:1:1: the file is empty/],
    ] as const) {
      assert.throws(
        () => parseSpec(wrong, 'f'),
        (error) => error instanceof SpecError && message.test(error.message),
        `${wrong}: ${String(message)}`,
      );
    }
  });

  it('never fail in another way, whatever is in the file', () => {
    const piece = fc.constantFrom(
      ...[
        '(',
        ')',
        '"',
        ' ',
        '\n',
        ';',
        '#|',
        '|#',
        '#;',
        '\\',
        'from',
        'run',
        'copy',
        'a',
        ': ',
        '- ',
      ],
      ...['steps', '*x', '&x ', '[', ']', '{', '}', '\u0000', 'shell', 'user', '? ', '|', '!!int '],
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        try {
          parseSpec(pieces.join(''), 'f');
        } catch (error) {
          assert(error instanceof SpecError, String(error));
        }
      }),
      { numRuns: 3000 },
    );
  });
});

describe('Dockerfiles', () => {
  const parsed = parseSpec(
    `((build dev ((from a) (run (shell "make"))))
      (from b)
      (user (uid 1000) (gid 1000))
      (env X "a $b \\"c\\"")
      (run (cache (c (target /c))) (network host) (secrets (s (target /s))) (shell "one\\ntwo"))
      (copy (from (build dev)) (src /out) (dst /in/) (exclude .git)))`,
    'f',
  ).spec;

  it('say with BuildKit all that the spec says', () => {
    assert.deepEqual(specToDockerfile(parsed, { buildkit: true }), {
      text: [
        '# syntax=docker/dockerfile:1',
        'FROM a AS stage1-dev',
        'SHELL ["/bin/bash","-c"]',
        'RUN --network=none make',
        '',
        'FROM b',
        'SHELL ["/bin/bash","-c"]',
        'USER 1000:1000',
        'ENV X="a \\$b \\"c\\""',
        'RUN --mount=type=cache,id=c,target=/c,uid=1000 --mount=type=secret,id=s,target=/s,uid=1000 ["/bin/bash","-c","one\\ntwo"]',
        'COPY --from=stage1-dev --chown=1000:1000 --exclude=**/.git ["/out","/in/out"]',
        '',
      ].join('\n'),
      left: [],
    });
  });

  it('without BuildKit tell what they leave out', () => {
    const { text: dockerfile, left } = specToDockerfile(parsed, { buildkit: false });
    assert(!dockerfile.includes('--mount') && !dockerfile.includes('--network'));
    assert.equal(left.length, 4);
  });
});
