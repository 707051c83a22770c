import { nearest } from '../../domain/nearest.ts';
import { readSexp, type Sexp, type SexpList } from './sexp-read.ts';
import { Positions, SpecError, type Position } from './source.ts';
import { MACHINE_FIELDS, machineField } from './machine.ts';
import {
  OPERATIONS,
  defaultSecretTarget,
  type Machine,
  type NestedBuild,
  type Op,
  type Spec,
  type User,
} from './spec.ts';

/** Reads a spec as OBuilder writes it. Throws `SpecError`. */
export function specFromSexp(
  text: string,
  file: string,
): { readonly spec: Spec; readonly positions: Positions } {
  const positions = new Positions(file);
  return { spec: new FromSexp(positions).spec(readSexp(text, file)), positions };
}

/** `(NAME ARGUMENT...)` */
interface Item {
  readonly name: string;
  readonly args: readonly Sexp[];
  readonly position: Position;
}

class FromSexp {
  readonly #positions: Positions;

  constructor(positions: Positions) {
    this.#positions = positions;
  }

  spec(sexp: Sexp): Spec {
    const list = this.#list(sexp, 'a build such as ((from debian:12) ...)');
    const builds: NestedBuild[] = [];
    let at = 0;
    let item = this.#maybeItem(list.list[at]);
    for (; item?.name === 'build'; item = this.#maybeItem(list.list[at])) {
      builds.push(this.#build(item));
      at += 1;
    }
    if (item?.name !== 'from') {
      const where = list.list[at]?.position ?? list.position;
      throw this.#error(where, `expected (from BASE)${at > 0 ? ' after the nested builds' : ''}`);
    }
    const from = this.#oneAtom(item, 'the base, such as (from debian:12)');
    at += 1;
    const next = this.#maybeItem(list.list[at]);
    const machine = next?.name === 'machine' ? this.#machine(next) : undefined;
    if (machine !== undefined) at += 1;
    const ops = list.list.slice(at).map((each) => this.#op(each));
    const spec = { builds, from, ...(machine === undefined ? {} : { machine }), ops };
    return this.#positions.mark(spec, list.position);
  }

  #build(item: Item): NestedBuild {
    const [name, spec, ...more] = item.args;
    if (name === undefined || spec === undefined || more.length > 0) {
      throw this.#error(item.position, 'expected (build NAME ((from BASE) ...))');
    }
    const build = { name: this.#atom(name, 'the name of the build'), spec: this.spec(spec) };
    return this.#positions.mark(build, item.position);
  }

  #machine(item: Item): Machine {
    let machine: Machine = {};
    for (const [name, field] of this.#fields(item, MACHINE_FIELDS)) {
      const text = this.#oneAtom(field, 'one value');
      const read = machineField(name, text);
      if (typeof read === 'string') {
        throw this.#error(field.position, `${name}: expected ${read}, not ${text}`);
      }
      machine = { ...machine, ...read };
    }
    return machine;
  }

  #op(sexp: Sexp): Op {
    const item = this.#item(sexp, 'an operation such as (run (shell "make"))');
    return this.#positions.mark(this.#opOf(item), item.position);
  }

  #opOf(item: Item): Op {
    switch (item.name) {
      case 'comment':
        return { op: 'comment', text: this.#oneAtom(item, 'a text') };
      case 'workdir':
        return { op: 'workdir', dir: this.#oneAtom(item, 'a directory') };
      case 'shell':
        return { op: 'shell', argv: this.#atoms(item, 'a program and its arguments') };
      case 'user':
        return { op: 'user', user: this.#user(item) };
      case 'env': {
        const [name, value] = this.#atoms(item, 'a name and a value', 2);
        return { op: 'env', name: name ?? '', value: value ?? '' };
      }
      case 'run':
        return this.#run(item);
      case 'copy':
        return this.#copy(item);
      case 'manual':
        return this.#manual(item);
      case 'finalize':
        return { op: 'finalize', paths: this.#optionalAtoms(item, 'paths to remove') };
      case 'machine':
        throw this.#error(item.position, '(machine ...) stands right after (from ...), once');
      case 'from':
      case 'build':
        throw this.#error(
          item.position,
          `(${item.name} ...) stands before all operations${item.name === 'from' ? ', once' : ' and before (from ...)'}`,
        );
      default: {
        const near = nearest(item.name, OPERATIONS);
        const hint = near === undefined ? '' : `; did you mean ${near}?`;
        throw this.#error(
          item.position,
          `there is no operation ${item.name}${hint} (there are: ${OPERATIONS.join(', ')})`,
        );
      }
    }
  }

  #user(item: Item): User {
    const fields = this.#fields(item, ['uid', 'gid', 'name']);
    const name = fields.get('name');
    if (name !== undefined && fields.size === 1) return { name: this.#oneAtom(name, 'a name') };
    const [uid, gid] = [fields.get('uid'), fields.get('gid')];
    if (uid === undefined || gid === undefined || name !== undefined) {
      throw this.#error(item.position, 'expected (user (uid N) (gid N)) or (user (name NAME))');
    }
    return { uid: this.#id(uid), gid: this.#id(gid) };
  }

  #id(item: Item): number {
    const text = this.#oneAtom(item, 'a number');
    const number = Number(text);
    if (/^\d{1,10}$/.test(text) && number < 2 ** 32 - 1) return number;
    throw this.#error(item.position, `expected a ${item.name} from 0 to 4294967294, not ${text}`);
  }

  #run(item: Item): Op {
    const fields = this.#fields(item, ['cache', 'network', 'secrets', 'shell']);
    const shell = fields.get('shell');
    if (shell === undefined) throw this.#error(item.position, 'expected (run ... (shell COMMAND))');
    return {
      op: 'run',
      caches: (fields.get('cache')?.args ?? []).map((each) => this.#cache(each)),
      network: this.#optionalAtoms(fields.get('network'), 'names of networks'),
      secrets: (fields.get('secrets')?.args ?? []).map((each) => this.#secret(each)),
      shell: this.#oneAtom(shell, 'one command; quote it: (shell "make all")'),
    };
  }

  #cache(sexp: Sexp) {
    const item = this.#item(sexp, 'a cache such as (ID (target DIRECTORY))');
    const fields = this.#fields(item, ['target', 'buildkit_options']);
    const target = fields.get('target');
    if (target === undefined) {
      throw this.#error(item.position, `expected (${item.name} (target DIRECTORY))`);
    }
    const options = fields.get('buildkit_options')?.args ?? [];
    const buildkitOptions = options.map((each): readonly [string, string] => {
      const option = this.#item(each, 'an option such as (sharing locked)');
      return [option.name, this.#oneAtom(option, 'a value')];
    });
    const twice = buildkitOptions.find(
      ([name], index) => buildkitOptions.findIndex(([other]) => other === name) !== index,
    );
    if (twice !== undefined) throw this.#error(item.position, `${twice[0]} is given twice`);
    const cache = { id: item.name, target: this.#oneAtom(target, 'a directory'), buildkitOptions };
    return this.#positions.mark(cache, item.position);
  }

  #secret(sexp: Sexp) {
    const item = this.#item(sexp, 'a secret such as (ID (target FILE))');
    const target = this.#fields(item, ['target']).get('target');
    const secret = {
      id: item.name,
      target:
        target === undefined ? defaultSecretTarget(item.name) : this.#oneAtom(target, 'a file'),
    };
    return this.#positions.mark(secret, item.position);
  }

  #copy(item: Item): Op {
    const fields = this.#fields(item, ['from', 'src', 'dst', 'exclude']);
    const [from, src, dst] = [fields.get('from'), fields.get('src'), fields.get('dst')];
    if (src === undefined || dst === undefined) {
      throw this.#error(item.position, 'expected (copy (src FILE...) (dst PLACE))');
    }
    return {
      op: 'copy',
      from: from === undefined ? undefined : this.#copyFrom(from),
      src: this.#atoms(src, 'at least one file'),
      dst: this.#oneAtom(dst, 'one place'),
      exclude: this.#optionalAtoms(fields.get('exclude'), 'names of files'),
    };
  }

  #manual(item: Item): Op {
    const [text, ...fields] = item.args;
    if (text === undefined) {
      throw this.#error(item.position, 'expected (manual TEXT) or (manual TEXT (check COMMAND))');
    }
    const check = this.#fields({ ...item, args: fields }, ['check']).get('check');
    return {
      op: 'manual',
      text: this.#atom(text, 'what a person has to do'),
      check: check === undefined ? undefined : this.#oneAtom(check, 'one command; quote it'),
    };
  }

  #copyFrom(item: Item): string {
    const [only, ...more] = item.args;
    const build = only === undefined ? undefined : this.#maybeItem(only);
    if (build?.name !== 'build' || more.length > 0) {
      throw this.#error(item.position, 'expected (from (build NAME))');
    }
    return this.#oneAtom(build, 'the name of a nested build');
  }

  /** The arguments of an item as items of their own, each at most once. */
  #fields<Name extends string>(item: Item, names: readonly Name[]): Map<Name, Item> {
    const fields = new Map<Name, Item>();
    for (const arg of item.args) {
      const field = this.#item(arg, `one of ${names.map((name) => `(${name} ...)`).join(', ')}`);
      const name = names.find((each) => each === field.name);
      if (name === undefined) {
        const near = nearest(field.name, names);
        const hint = near === undefined ? '' : `; did you mean ${near}?`;
        throw this.#error(
          field.position,
          `${item.name} has no ${field.name}${hint} (it has: ${names.join(', ')})`,
        );
      }
      if (fields.has(name)) throw this.#error(field.position, `${name} is given twice`);
      fields.set(name, field);
    }
    return fields;
  }

  #maybeItem(sexp: Sexp | undefined): Item | undefined {
    if (sexp === undefined || !('list' in sexp)) return undefined;
    const [name, ...args] = sexp.list;
    if (name === undefined || !('atom' in name)) return undefined;
    return { name: name.atom, args, position: sexp.position };
  }

  #item(sexp: Sexp, what: string): Item {
    const item = this.#maybeItem(sexp);
    if (item === undefined) throw this.#error(sexp.position, `expected ${what}`);
    return item;
  }

  #list(sexp: Sexp, what: string): SexpList {
    if ('list' in sexp) return sexp;
    throw this.#error(sexp.position, `expected ${what}, not ${sexp.atom}`);
  }

  #atom(sexp: Sexp, what: string): string {
    if ('atom' in sexp) return sexp.atom;
    throw this.#error(sexp.position, `expected ${what}, not a list`);
  }

  #oneAtom(item: Item, what: string): string {
    const [only, ...more] = item.args;
    if (only === undefined || more.length > 0) {
      throw this.#error(item.position, `${item.name}: expected ${what}`);
    }
    return this.#atom(only, what);
  }

  /** At least one; exactly `count` if that is given. */
  #atoms(item: Item, what: string, count?: number): string[] {
    const wrong = count === undefined ? item.args.length === 0 : item.args.length !== count;
    if (wrong) throw this.#error(item.position, `${item.name}: expected ${what}`);
    return item.args.map((arg) => this.#atom(arg, what));
  }

  #optionalAtoms(item: Item | undefined, what: string): string[] {
    return (item?.args ?? []).map((arg) => this.#atom(arg, what));
  }

  #error(position: Position, problem: string): SpecError {
    return new SpecError(this.#positions.file, position, problem);
  }
}
