import { z } from 'zod';

export type JsonSchema = { readonly [key: string]: unknown };

const LOCAL = '#/$defs/';
const SHARED = '#/components/schemas/';

/**
 * JSON Schemas of an OpenAPI document. Schemas with an id of their own become components. One that
 * reads differently as input (defaults may be left out) has a second component with `Input` behind
 * its name.
 */
export class SchemaCollection {
  readonly #components = new Map<string, JsonSchema>();
  /** What each component was made from. */
  readonly #texts = new Map<string, string>();

  /** The schema to write where `schema` is meant; a reference when it has an id. */
  add(schema: z.ZodType, io: 'input' | 'output'): JsonSchema {
    // In a wrapper, so that a schema with an id is referred to, too.
    const whole = z.toJSONSchema(z.object({ it: schema }), {
      io,
      override: ({ zodSchema, jsonSchema }) => {
        // What we give may gain fields; what we take may not have others.
        if (io === 'output' && zodSchema._zod.def.type === 'object') {
          delete jsonSchema.additionalProperties;
        }
      },
    }) as unknown as { properties: { it: JsonSchema }; $defs?: Record<string, JsonSchema> };
    const definitions = Object.entries(whole.$defs ?? {});
    const names = new Map<string, string>();
    for (const [id, definition] of definitions) names.set(id, this.#nameFor(id, definition, io));
    for (const [id, definition] of definitions) {
      this.#components.set(names.get(id) ?? id, rename(definition, names));
    }
    return rename(whole.properties.it, names);
  }

  all(): Record<string, JsonSchema> {
    return Object.fromEntries([...this.#components].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** The name of a definition: its id, or one that tells it from the same id read otherwise. */
  #nameFor(id: string, definition: JsonSchema, io: 'input' | 'output'): string {
    const text = JSON.stringify(definition);
    const taken = (name: string) => (this.#texts.get(name) ?? text) !== text;
    const name = taken(id) ? `${id}${io === 'input' ? 'Input' : 'Output'}` : id;
    if (taken(name)) throw new Error(`two schemas have the id ${id}`);
    this.#texts.set(name, text);
    return name;
  }
}

/** `value` with its references to local definitions turned into references to components. */
function rename<T>(value: T, names: ReadonlyMap<string, string>): T {
  return JSON.parse(JSON.stringify(value), (key, part: unknown) => {
    if (key !== '$ref' || typeof part !== 'string') return part;
    const id = part.slice(LOCAL.length);
    return SHARED + (names.get(id) ?? id);
  }) as T;
}
