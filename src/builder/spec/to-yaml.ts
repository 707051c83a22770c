import { Document } from 'yaml';
import { machineTexts } from './machine.ts';
import { defaultSecretTarget, type Op, type Spec } from './spec.ts';

/** The spec as YAML, as `specFromYaml` reads it. */
export function specToYaml(spec: Spec): string {
  return new Document(shapeOf(spec), { schema: 'failsafe' }).toString({ lineWidth: 100 });
}

function shapeOf(spec: Spec): Map<string, unknown> {
  const shape = new Map<string, unknown>();
  if (spec.builds.length > 0) {
    shape.set('builds', new Map(spec.builds.map((build) => [build.name, shapeOf(build.spec)])));
  }
  shape.set('from', spec.from);
  if (spec.machine !== undefined) shape.set('machine', new Map(machineTexts(spec.machine)));
  if (spec.ops.length > 0) shape.set('steps', spec.ops.map(stepOf));
  return shape;
}

function stepOf(op: Op): Map<string, unknown> | string {
  if (op.op === 'finalize' && op.paths.length === 0) return op.op;
  return new Map([[op.op, valueOf(op)]]);
}

function valueOf(op: Op): unknown {
  switch (op.op) {
    case 'comment':
      return op.text;
    case 'workdir':
      return op.dir;
    case 'shell':
      return op.argv;
    case 'user':
      return 'name' in op.user
        ? { name: op.user.name }
        : { uid: String(op.user.uid), gid: String(op.user.gid) };
    case 'env':
      return new Map([[op.name, op.value]]);
    case 'run': {
      const rest = new Map<string, unknown>();
      if (op.caches.length > 0) {
        rest.set('cache', new Map(op.caches.map((cache) => [cache.id, cacheOf(cache)])));
      }
      if (op.network.length > 0) rest.set('network', op.network);
      if (op.secrets.length > 0) rest.set('secrets', secretsOf(op.secrets));
      return rest.size === 0 ? op.shell : new Map([...rest, ['shell', op.shell]]);
    }
    case 'copy':
      return {
        ...(op.from === undefined ? {} : { from: op.from }),
        src: op.src.length === 1 ? op.src[0] : op.src,
        dst: op.dst,
        ...(op.exclude.length === 0 ? {} : { exclude: op.exclude }),
      };
    case 'manual':
      return op.check === undefined ? op.text : { text: op.text, check: op.check };
    case 'finalize':
      return op.paths;
  }
}

function cacheOf({ target, buildkitOptions }: (Op & { op: 'run' })['caches'][number]): unknown {
  if (buildkitOptions.length === 0) return target;
  return { target, buildkit_options: new Map(buildkitOptions) };
}

function secretsOf(secrets: (Op & { op: 'run' })['secrets']): unknown {
  const plain = secrets.every(({ id, target }) => target === defaultSecretTarget(id));
  if (plain) return secrets.map(({ id }) => id);
  return new Map(secrets.map(({ id, target }) => [id, target]));
}
