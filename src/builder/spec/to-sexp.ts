import { atomText, machineSexp, type SexpValue } from './sexp-write.ts';
import { machineTexts } from './machine.ts';
import { defaultSecretTarget, type Op, type Spec } from './spec.ts';

/** The spec as OBuilder writes it: one operation a line, nested builds indented. */
export function specToSexp(spec: Spec): string {
  return `${block(spec, '')}\n`;
}

function block(spec: Spec, indent: string): string {
  const lines = [
    ...spec.builds.map(
      ({ name, spec: nested }) =>
        `(build ${atomText(name)}\n${indent}  ${block(nested, `${indent}  `)})`,
    ),
    `(from ${atomText(spec.from)})`,
    ...(spec.machine === undefined ? [] : [`(machine${spaced(machineTexts(spec.machine))})`]),
    ...spec.ops.map((op) => `(${op.op}${spaced(opArgs(op))})`),
  ];
  return `(${lines.join(`\n${indent} `)})`;
}

/** The arguments of an operation as S-expressions. */
export function opArgs(op: Op): SexpValue[] {
  switch (op.op) {
    case 'comment':
      return [op.text];
    case 'workdir':
      return [op.dir];
    case 'shell':
      return [...op.argv];
    case 'user':
      return 'name' in op.user
        ? [['name', op.user.name]]
        : [
            ['uid', String(op.user.uid)],
            ['gid', String(op.user.gid)],
          ];
    case 'env':
      return [op.name, op.value];
    case 'run':
      return [
        ...field(
          'cache',
          op.caches.map(({ id, target, buildkitOptions }) => [
            id,
            ['target', target],
            ...field('buildkit_options', buildkitOptions),
          ]),
        ),
        ...field('network', op.network),
        ...field(
          'secrets',
          op.secrets.map(({ id, target }) =>
            target === defaultSecretTarget(id) ? [id] : [id, ['target', target]],
          ),
        ),
        ['shell', op.shell],
      ];
    case 'copy':
      return [
        ...(op.from === undefined ? [] : [['from', ['build', op.from]]]),
        ['src', ...op.src],
        ['dst', op.dst],
        ...field('exclude', op.exclude),
      ];
    case 'manual':
      return op.check === undefined ? [op.text] : [op.text, ['check', op.check]];
    case 'finalize':
      return [...op.paths];
  }
}

function field(name: string, values: readonly SexpValue[]): SexpValue[] {
  return values.length === 0 ? [] : [[name, ...values]];
}

function spaced(values: readonly SexpValue[]): string {
  return values.map((value) => ` ${readable(value)}`).join('');
}

/** With a space between all that stands side by side, as people write it. */
function readable(value: SexpValue): string {
  if (typeof value === 'string') return machineSexp(value);
  return `(${value.map(readable).join(' ')})`;
}
