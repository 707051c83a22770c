import {
  LineCounter,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  parseDocument,
  type Document,
  type Node,
} from 'yaml';
import { nearest } from '../../domain/nearest.ts';
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

/** Reads a spec written as YAML: `builds`, `from`, `steps`. Throws `SpecError`. */
export function specFromYaml(
  text: string,
  file: string,
): { readonly spec: Spec; readonly positions: Positions } {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    // Only what looks like text or a number is either: `yes` and `1.10` stay what was written.
    schema: 'failsafe',
  });
  const at = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  const [error] = document.errors;
  if (error !== undefined) throw new SpecError(file, at(error.pos[0]), error.message);
  const positions = new Positions(file);
  const reader = new FromYaml(document, positions, at);
  return { spec: reader.spec(document.contents ?? undefined), positions };
}

type Fields<Name extends string> = ReadonlyMap<Name, { readonly key: Node; readonly value: Node }>;

class FromYaml {
  readonly #document: Document;
  readonly #positions: Positions;
  readonly #at: (offset: number) => Position;

  constructor(document: Document, positions: Positions, at: (offset: number) => Position) {
    this.#document = document;
    this.#positions = positions;
    this.#at = at;
  }

  spec(node: Node | undefined): Spec {
    if (node === undefined) {
      throw new SpecError(this.#positions.file, { line: 1, column: 1 }, 'the file is empty');
    }
    const names = ['builds', 'from', 'machine', 'steps'] as const;
    const fields = this.#fields(node, names, 'a build with from and steps');
    const from = fields.get('from');
    if (from === undefined) throw this.#error(node, 'expected `from: BASE`');
    const builds = this.#pairs(fields.get('builds')?.value).map(({ name, key, value }) =>
      this.#mark<NestedBuild>({ name, spec: this.spec(value) }, key),
    );
    const steps = fields.get('steps');
    const ops = steps === undefined ? [] : this.#items(steps.value).flatMap((op) => this.#ops(op));
    const machine = fields.get('machine');
    const given = machine === undefined ? {} : { machine: this.#machine(machine.value) };
    return this.#mark({ builds, from: this.#text(from.value, 'a base'), ...given, ops }, node);
  }

  #machine(node: Node): Machine {
    let machine: Machine = {};
    for (const [name, { value }] of this.#fields(node, MACHINE_FIELDS, 'a machine')) {
      const text = this.#text(value, 'one value');
      const read = machineField(name, text);
      if (typeof read === 'string') {
        throw this.#error(value, `${name}: expected ${read}, not ${text}`);
      }
      machine = { ...machine, ...read };
    }
    return machine;
  }

  /** One step of the list; several variables of one `env` are as many operations. */
  #ops(node: Node): Op[] {
    if (isScalar(node) && node.value === 'finalize') {
      return [this.#mark<Op>({ op: 'finalize', paths: [] }, node)];
    }
    const fields = this.#fields(node, OPERATIONS, 'a step such as `run: make`');
    const [only, ...more] = [...fields];
    if (only === undefined || more.length > 0) {
      throw this.#error(
        node,
        `expected one of ${OPERATIONS.join(', ')} in each step, each with its "-"`,
      );
    }
    const [name, { value }] = only;
    if (name === 'env') {
      return this.#pairs(value).map(({ name: variable, key, value: content }) =>
        this.#mark<Op>({ op: 'env', name: variable, value: this.#text(content, 'a value') }, key),
      );
    }
    return [this.#mark(this.#op(name, value), node)];
  }

  #op(name: Exclude<(typeof OPERATIONS)[number], 'env'>, value: Node): Op {
    switch (name) {
      case 'comment':
        return { op: 'comment', text: this.#text(value, 'a text') };
      case 'workdir':
        return { op: 'workdir', dir: this.#text(value, 'a directory') };
      case 'shell':
        return { op: 'shell', argv: this.#texts(value, 'a list such as [/bin/bash, -c]') };
      case 'user':
        return { op: 'user', user: this.#user(value) };
      case 'run':
        return this.#run(value);
      case 'copy':
        return this.#copy(value);
      case 'manual':
        return this.#manual(value);
      case 'finalize':
        return { op: 'finalize', paths: this.#texts(value, 'a list of paths to remove', 0) };
    }
  }

  #manual(node: Node): Op {
    if (isScalar(node)) return { op: 'manual', text: this.#text(node, 'a text'), check: undefined };
    const fields = this.#fields(node, ['text', 'check'], 'a text, or a map with text');
    const [text, check] = [fields.get('text'), fields.get('check')];
    if (text === undefined) throw this.#error(node, 'expected `text: WHAT A PERSON HAS TO DO`');
    return {
      op: 'manual',
      text: this.#text(text.value, 'a text'),
      check: check === undefined ? undefined : this.#text(check.value, 'a command'),
    };
  }

  #user(node: Node): User {
    const fields = this.#fields(node, ['uid', 'gid', 'name'], 'uid and gid, or name');
    const [uid, gid, name] = [fields.get('uid'), fields.get('gid'), fields.get('name')];
    if (name !== undefined && fields.size === 1) return { name: this.#text(name.value, 'a name') };
    if (uid === undefined || gid === undefined || name !== undefined) {
      throw this.#error(node, 'expected `{ uid: N, gid: N }` or `{ name: NAME }`');
    }
    return { uid: this.#id(uid.value), gid: this.#id(gid.value) };
  }

  #id(node: Node): number {
    const text = this.#text(node, 'a number');
    const number = Number(text);
    if (/^\d{1,10}$/.test(text) && number < 2 ** 32 - 1) return number;
    throw this.#error(node, `expected a number from 0 to 4294967294, not ${text}`);
  }

  #run(node: Node): Op {
    if (isScalar(node)) {
      const shell = this.#text(node, 'a command');
      return { op: 'run', caches: [], network: [], secrets: [], shell };
    }
    const names = ['shell', 'cache', 'network', 'secrets'] as const;
    const fields = this.#fields(node, names, 'a command, or a map with shell');
    const shell = fields.get('shell');
    if (shell === undefined) throw this.#error(node, 'expected `shell: COMMAND`');
    const network = fields.get('network');
    return {
      op: 'run',
      caches: this.#pairs(fields.get('cache')?.value).map(({ name, key, value }) =>
        this.#mark(this.#cache(name, value), key),
      ),
      network: network === undefined ? [] : this.#texts(network.value, 'a list such as [host]', 0),
      secrets: this.#secrets(fields.get('secrets')?.value),
      shell: this.#text(shell.value, 'a command'),
    };
  }

  #cache(id: string, node: Node) {
    if (isScalar(node)) {
      return { id, target: this.#text(node, 'a directory'), buildkitOptions: [] };
    }
    const fields = this.#fields(node, ['target', 'buildkit_options'], 'a directory');
    const target = fields.get('target');
    if (target === undefined) throw this.#error(node, 'expected `target: DIRECTORY`');
    return {
      id,
      target: this.#text(target.value, 'a directory'),
      buildkitOptions: this.#pairs(fields.get('buildkit_options')?.value).map(
        ({ name, value }): readonly [string, string] => [name, this.#text(value, 'a value')],
      ),
    };
  }

  /** A list of ids, or a map from ids to files. */
  #secrets(node: Node | undefined) {
    if (node !== undefined && isSeq(node)) {
      return this.#items(node).map((each) => {
        const id = this.#text(each, 'the id of a secret');
        return this.#mark({ id, target: defaultSecretTarget(id) }, each);
      });
    }
    return this.#pairs(node).map(({ name: id, key, value }) =>
      this.#mark({ id, target: this.#text(value, 'a file') }, key),
    );
  }

  #copy(node: Node): Op {
    const names = ['from', 'src', 'dst', 'exclude'] as const;
    const fields = this.#fields(node, names, 'a map with src and dst');
    const [src, dst] = [fields.get('src'), fields.get('dst')];
    const [from, exclude] = [fields.get('from'), fields.get('exclude')];
    if (src === undefined || dst === undefined) {
      throw this.#error(node, 'expected `src: [FILE, ...]` and `dst: PLACE`');
    }
    return {
      op: 'copy',
      from: from === undefined ? undefined : this.#text(from.value, 'the name of a nested build'),
      src: isScalar(src.value)
        ? [this.#text(src.value, 'a file')]
        : this.#texts(src.value, 'a list of files'),
      dst: this.#text(dst.value, 'one place'),
      exclude: exclude === undefined ? [] : this.#texts(exclude.value, 'a list of names', 0),
    };
  }

  #fields<Name extends string>(node: Node, names: readonly Name[], what: string): Fields<Name> {
    const resolved = this.#resolve(node);
    if (!isMap(resolved)) throw this.#error(node, `expected ${what}`);
    const fields = new Map<Name, { key: Node; value: Node }>();
    for (const { name: text, key, value } of this.#pairs(resolved)) {
      const name = names.find((each) => each === text);
      if (name === undefined) {
        const near = nearest(text, names);
        const hint = near === undefined ? '' : `; did you mean ${near}?`;
        throw this.#error(key, `unknown key ${text}${hint} (there are: ${names.join(', ')})`);
      }
      fields.set(name, { key, value });
    }
    return fields;
  }

  #pairs(node: Node | undefined): { name: string; key: Node; value: Node }[] {
    if (node === undefined) return [];
    const map = this.#resolve(node);
    if (!isMap<Node, Node | null>(map)) throw this.#error(node, 'expected a map (`name: value`)');
    return map.items.map(({ key, value }) => {
      const name = this.#text(key, 'a name');
      if (value === null) throw this.#error(key, `${name} has no value`);
      return { name, key, value };
    });
  }

  #items(node: Node): Node[] {
    const list = this.#resolve(node);
    if (!isSeq<Node>(list)) throw this.#error(node, 'expected a list (`- ...`)');
    return list.items;
  }

  #text(node: Node, what: string): string {
    const scalar = this.#resolve(node);
    if (isScalar<string>(scalar)) return String(scalar.value);
    throw this.#error(node, `expected ${what}`);
  }

  #texts(node: Node, what: string, least = 1): string[] {
    if (!isSeq(this.#resolve(node))) throw this.#error(node, `expected ${what}`);
    const texts = this.#items(node).map((item) => this.#text(item, what));
    if (texts.length < least) throw this.#error(node, `expected ${what}`);
    return texts;
  }

  #resolve(node: Node): Node {
    if (!isAlias(node)) return node;
    const target = node.resolve(this.#document);
    if (target === undefined) throw this.#error(node, `there is no anchor ${node.source}`);
    return target;
  }

  #mark<T extends object>(made: T, node: Node): T {
    return this.#positions.mark(made, this.#at(node.range?.[0] ?? 0));
  }

  #error(node: Node, problem: string): SpecError {
    return new SpecError(this.#positions.file, this.#at(node.range?.[0] ?? 0), problem);
  }
}
