import { nearest } from '../../domain/nearest.ts';
import type { Positions, SpecError } from './source.ts';
import { isStep, type Op, type Spec } from './spec.ts';

/**
 * What is wrong with a spec beyond its form: names that do not exist or exist twice, copies that
 * cannot be, values no system takes. All of it, in the order of the file.
 */
export function checkSpec(spec: Spec, positions: Positions): SpecError[] {
  return [...problemsOf(spec, positions, [])];
}

/** `scope`: builds made before this one, which it may copy from. */
function* problemsOf(
  spec: Spec,
  positions: Positions,
  scope: readonly string[],
): Generator<SpecError> {
  const own: string[] = [];
  for (const build of spec.builds) {
    if (own.includes(build.name)) {
      yield positions.error(build, `two nested builds are named ${build.name}`);
    }
    yield* problemsOf(build.spec, positions, [...scope, ...own]);
    own.push(build.name);
  }
  const names = [...scope, ...own];
  if (spec.from === '') yield positions.error(spec, 'the base has no name');
  const finalize = spec.ops.findIndex(({ op }) => op === 'finalize');
  const after = finalize === -1 ? undefined : spec.ops.slice(finalize + 1).find(isStep);
  if (after !== undefined) {
    yield positions.error(after, 'nothing may come after finalize: it takes out what steps left');
  }
  for (const op of spec.ops) {
    for (const problem of problemsOfOp(op, names)) yield positions.error(op, problem);
  }
}

function* problemsOfOp(op: Op, builds: readonly string[]): Generator<string> {
  yield* [...textsOf(op)]
    .filter((text) => text.includes('\0'))
    .map(() => 'no system takes a text with a zero byte');
  switch (op.op) {
    case 'env':
      if (op.name === '' || op.name.includes('=')) {
        yield `${op.name === '' ? 'the empty text' : op.name} cannot name a variable`;
      }
      return;
    case 'shell':
      if (op.argv.length === 0) yield 'a shell needs a program, such as /bin/bash -c';
      return;
    case 'workdir':
      if (op.dir === '') yield 'the working directory has no name';
      return;
    case 'run':
      yield* twice(
        'cache',
        op.caches.map(({ id }) => id),
      );
      yield* twice(
        'secret',
        op.secrets.map(({ id }) => id),
      );
      yield* twice(
        'place',
        [...op.caches, ...op.secrets].map(({ target }) => target),
      );
      for (const { id, target } of op.caches) {
        if (id === '') yield 'a cache has no id';
        if (target === '') yield `cache ${id} has no target`;
      }
      for (const { id, target } of op.secrets) {
        if (id === '') yield 'a secret has no id';
        if (target === '' || target.endsWith('/')) yield `the target of secret ${id} is no file`;
      }
      return;
    case 'copy': {
      if (op.from !== undefined && !builds.includes(op.from)) {
        const near = nearest(op.from, builds);
        const hint = near === undefined ? '' : `; did you mean ${near}?`;
        const known = builds.length === 0 ? 'there are none' : `there are: ${builds.join(', ')}`;
        yield `no nested build before this is named ${op.from}${hint} (${known})`;
      }
      if (op.src.length === 0) yield 'there is nothing to copy: src names no file';
      if (op.dst === '') yield 'dst names no place';
      else if (op.src.length > 1 && !op.dst.endsWith('/')) {
        yield `several files cannot become ${op.dst}; write ${op.dst}/ to put them into it`;
      }
      for (const name of op.exclude) {
        if (name.includes('/')) yield `exclude takes names, not paths such as ${name}`;
      }
      return;
    }
    case 'manual':
      if (op.text.trim() === '') yield 'manual tells a person nothing to do';
      if (op.check?.trim() === '') yield 'the check is no command';
      return;
    case 'finalize':
      if (op.paths.some((path) => path.trim() === '')) yield 'a path to remove is empty';
      return;
    case 'comment':
    case 'user':
      return;
  }
}

function* twice(what: string, names: readonly string[]): Generator<string> {
  for (const name of new Set(names.filter((each, index) => names.indexOf(each) !== index))) {
    yield `${what} ${name} is given twice`;
  }
}

/** All texts of an operation, those in lists included. */
function* textsOf(value: unknown): Generator<string> {
  if (typeof value === 'string') yield value;
  else if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) yield* textsOf(inner);
  }
}
