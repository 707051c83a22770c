import { nearest } from '../../domain/nearest.ts';
import type { Op, Spec } from './spec.ts';

export type Variables = Readonly<Record<string, string>>;

/** Thrown for `${{ name }}` where there is no variable of that name. */
export class UnknownVariable extends Error {
  readonly code = 'unknown_variable';
}

/**
 * Replaces `${{ name }}` in every text of a spec by the variable of that name. It happens in the parsed
 * spec, so no value can change its structure. Throws `UnknownVariable`.
 */
export function substitute(spec: Spec, variables: Variables): Spec {
  const text = (template: string) => filledIn(template, variables);
  const texts = (list: readonly string[]): string[] => list.map(text);
  return {
    from: text(spec.from),
    ...(spec.machine === undefined ? {} : { machine: spec.machine }),
    builds: spec.builds.map(({ name, spec: inner }) => ({
      name,
      spec: substitute(inner, variables),
    })),
    ops: spec.ops.map((op) => substituteOp(op, text, texts)),
  };
}

function substituteOp(
  op: Op,
  text: (template: string) => string,
  texts: (list: readonly string[]) => string[],
): Op {
  switch (op.op) {
    case 'comment':
      return { ...op, text: text(op.text) };
    case 'workdir':
      return { ...op, dir: text(op.dir) };
    case 'shell':
      return { ...op, argv: texts(op.argv) };
    case 'user':
      return 'name' in op.user ? { ...op, user: { name: text(op.user.name) } } : op;
    case 'env':
      return { ...op, name: text(op.name), value: text(op.value) };
    case 'run':
      return {
        ...op,
        shell: text(op.shell),
        network: texts(op.network),
        caches: op.caches.map((cache) => ({
          ...cache,
          id: text(cache.id),
          target: text(cache.target),
        })),
        secrets: op.secrets.map(({ id, target }) => ({ id: text(id), target: text(target) })),
      };
    case 'copy':
      return { ...op, src: texts(op.src), dst: text(op.dst), exclude: texts(op.exclude) };
    case 'manual':
      return {
        ...op,
        text: text(op.text),
        check: op.check === undefined ? undefined : text(op.check),
      };
    case 'finalize':
      return { ...op, paths: texts(op.paths) };
  }
}

/** The same for one text. */
export function filledIn(template: string, variables: Variables): string {
  return template.replaceAll(/\$\{\{\s*([^}]*?)\s*\}\}/g, (_whole, name: string) => {
    const value = variables[name];
    if (value !== undefined) return value;
    const known = Object.keys(variables);
    throw new UnknownVariable(
      `the spec uses \${{ ${name} }}: ${unknownName('variable', name, known)}`,
    );
  });
}

/** What is said of a name that nothing has. */
export function unknownName(kind: string, name: string, known: readonly string[]): string {
  const near = nearest(name, known);
  const hint = near === undefined ? `known: ${known.join(', ')}` : `did you mean ${near}?`;
  return `there is no ${kind} ${name}; ${hint}`;
}
