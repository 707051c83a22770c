import { LineCounter, isNode, isPair, parseDocument, type Document } from 'yaml';
import { z } from 'zod';
import { nearest } from '../../domain/nearest.ts';
import { configSchema, poolConfigSchema, type Config } from './schema.ts';

/** Thrown for a file that is not as expected; the message has a line for each wrong place. */
export class ConfigError extends Error {
  readonly code = 'config';
}

/** Reads the configuration. Throws `ConfigError` with `file:line:column` for each wrong place. */
export function loadConfig(text: string, file: string): Config {
  const config = load(configSchema, text, file);
  for (const list of ['pools', 'integrations', 'alerts', 'reservations', 'maintenance'] as const) {
    const names = config[list].map(({ name }) => name);
    const twice = names.find((name, index) => names.indexOf(name) !== index);
    if (twice === undefined) continue;
    throw new ConfigError(`${file}: ${list}: two ${list} are named ${twice}`);
  }
  const names = config.pools.map((pool) => pool.name);
  const nowhere = config.reservations.find(({ pool }) => !names.includes(pool));
  if (nowhere !== undefined) {
    const near = nearest(nowhere.pool, names);
    const hint = near === undefined ? '' : `; did you mean ${near}?`;
    throw new ConfigError(
      `${file}: reservations: ${nowhere.name} is of pool ${nowhere.pool}, which is not in the file${hint}`,
    );
  }
  return deepFreeze(config);
}

/** Reads one pool, a list of pools, or `pools:` with a list. Throws `ConfigError`. */
export function loadPools(text: string, file: string): z.output<typeof poolConfigSchema>[] {
  const shape: unknown = parseDocument(text).toJS();
  if (Array.isArray(shape)) return load(z.array(poolConfigSchema), text, file);
  if (typeof shape === 'object' && shape !== null && 'pools' in shape) {
    return load(z.strictObject({ pools: z.array(poolConfigSchema) }), text, file).pools;
  }
  return [load(poolConfigSchema, text, file)];
}

function load<Schema extends z.ZodType>(
  schema: Schema,
  text: string,
  file: string,
): z.output<Schema> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  if (document.errors.length > 0) {
    throw new ConfigError(
      document.errors.map((error) => `${at(error.pos[0])}: ${error.message}`).join('\n'),
    );
  }
  const value: unknown = document.toJS();
  const parsed = schema.safeParse(value ?? {});
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.flatMap((issue) => {
    const path = issue.path.map(String);
    if (issue.code !== 'unrecognized_keys') {
      return [`${at(offsetOf(document, issue.path))}: ${path.join('.')}: ${issue.message}`];
    }
    const known = knownKeys(schema, issue.path);
    return issue.keys.map((key) => {
      const near = nearest(key, known);
      const hint = near === undefined ? `known keys: ${known.join(', ')}` : `did you mean ${near}?`;
      const place = at(offsetOf(document, [...issue.path, key]));
      return `${place}: unknown key ${[...path, key].join('.')}; ${hint}`;
    });
  });
  throw new ConfigError(problems.join('\n'));
}

/** Where the key or value of a path stands; for what is missing, where it would belong. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  for (let length = path.length; length > 0; length -= 1) {
    const parent =
      length === 1 ? document.contents : document.getIn(path.slice(0, length - 1), true);
    const last = path[length - 1];
    if (typeof parent === 'object' && parent !== null && 'items' in parent) {
      for (const item of parent.items as unknown[]) {
        if (isPair(item) && isNode(item.key) && String(item.key) === last) {
          return item.key.range?.[0] ?? 0;
        }
      }
    }
    const node = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return node.range[0];
  }
  return 0;
}

/** Keys that an object at this path may have. */
function knownKeys(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let shape: unknown = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  const root = shape as { $defs?: Record<string, unknown> };
  for (const step of [...path, undefined]) {
    const here = shape as { $ref?: string; properties?: object; items?: unknown };
    const resolved =
      here.$ref === undefined
        ? here
        : (root.$defs?.[here.$ref.split('/').at(-1) ?? ''] as typeof here);
    if (step === undefined) return Object.keys(resolved.properties ?? {});
    const { properties = {}, items } = resolved;
    shape = typeof step === 'number' ? items : properties[step as keyof typeof properties];
    if (shape === undefined) return [];
  }
  return [];
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
}
