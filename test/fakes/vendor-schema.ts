import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { Ajv, type ValidateFunction } from 'ajv';

/** A vendor's published OpenAPI description: what is asked and answered has to agree with it. */

interface Operation {
  readonly parameters?: readonly (Parameter | { readonly $ref: string })[];
  readonly requestBody?: {
    readonly required?: boolean;
    readonly content: { readonly 'application/json'?: { readonly schema: object } };
  };
  readonly responses: Readonly<Record<string, object>>;
}

interface Parameter {
  readonly name: string;
  readonly in: 'query' | 'path' | 'header';
  readonly schema: object;
}

interface Document {
  readonly definitions?: object;
  readonly paths?: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

export interface Matched {
  readonly template: string;
  readonly operation: Operation;
  readonly parameters: Readonly<Record<string, string>>;
}

export class VendorSchema {
  readonly #document: Document;
  readonly #ajv = new Ajv({ strict: false, validateFormats: false });
  /** Query parameters are text on the wire. */
  readonly #queryAjv = new Ajv({ strict: false, validateFormats: false, coerceTypes: true });
  readonly #validators = new Map<string, ValidateFunction>();
  readonly #templates: readonly { template: string; pattern: RegExp; names: string[] }[];

  static async load(specifier: string): Promise<VendorSchema> {
    const path = createRequire(import.meta.url).resolve(specifier);
    return new VendorSchema(JSON.parse(await readFile(path, 'utf8'), withNull) as Document);
  }

  private constructor(document: Document) {
    this.#document = document;
    this.#ajv.addSchema({ $id: 'vendor', ...document });
    this.#templates = Object.keys(document.paths ?? {}).map((template) => {
      const names = [...template.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? '');
      const pattern = new RegExp(`^${template.replaceAll(/\{\w+\}/g, '([^/]+)')}$`);
      return { template, pattern, names };
    });
  }

  /** The operation that a request is, or undefined: the vendor has no such one. */
  match(method: string, path: string): Matched | undefined {
    // What has fewer parameters is meant: `/runners/downloads` is no `/runners/{runner_id}`.
    const found = this.#templates
      .filter(({ pattern }) => pattern.test(path))
      .toSorted((a, b) => a.names.length - b.names.length)[0];
    if (found === undefined) return undefined;
    const operation = this.#document.paths?.[found.template]?.[method.toLowerCase()];
    if (operation === undefined) return undefined;
    const values = found.pattern.exec(path)?.slice(1) ?? [];
    const parameters = Object.fromEntries(found.names.map((name, at) => [name, values[at] ?? '']));
    return { template: found.template, operation, parameters };
  }

  /** What is wrong with a request, if anything is. */
  wrongWith(matched: Matched, query: URLSearchParams, body: unknown): string | undefined {
    const { operation } = matched;
    const known = (operation.parameters ?? []).map((each) => this.#resolve(each) as Parameter);
    for (const [name, value] of query) {
      const parameter = known.find((each) => each.name === name && each.in === 'query');
      if (parameter === undefined) return `no query parameter ${name} at ${matched.template}`;
      const valid = this.#queryAjv.validate(
        { type: 'object', properties: { value: this.#resolve(parameter.schema) } },
        { value },
      );
      if (!valid) return `query parameter ${name}: ${this.#queryAjv.errorsText()}`;
    }
    const schema = operation.requestBody?.content['application/json']?.schema;
    if (schema === undefined) return body === undefined ? undefined : 'a body where none belongs';
    if (body === undefined) return operation.requestBody?.required === true ? 'no body' : undefined;
    return this.#wrong(schema, { value: body });
  }

  /**
   * An answer as the vendor describes it: what is required is filled in, then what is given is put
   * over it. Throws when the whole does not agree with the description.
   */
  answer(matched: Matched, status: number, given: unknown): unknown {
    const response = this.#resolve(matched.operation.responses[String(status)] ?? {}) as {
      content?: { 'application/json'?: { schema: object } };
    };
    const schema = response.content?.['application/json']?.schema;
    if (schema === undefined) return given;
    const whole = this.#filled(schema, given, 0);
    const wrong = this.#wrong(schema, { value: whole });
    if (wrong !== undefined) throw new Error(`an answer of ${matched.template}: ${wrong}`);
    return whole;
  }

  /** Something that the vendor's description has under this name, filled in as `answer` does. */
  definition(name: string, given: unknown): unknown {
    const schema = { $ref: `#/definitions/${name}` };
    const whole = this.#filled(schema, given, 0);
    const wrong = this.#wrong(schema, { value: whole });
    if (wrong !== undefined) throw new Error(`${name}: ${wrong}`);
    return whole;
  }

  #wrong(schema: object, holder: { value: unknown }): string | undefined {
    const key = JSON.stringify(schema);
    let validate = this.#validators.get(key);
    if (validate === undefined) {
      const local = JSON.parse(key.replaceAll('"#/', '"vendor#/')) as object;
      validate = this.#ajv.compile({
        type: 'object',
        properties: { value: local },
      });
      this.#validators.set(key, validate);
    }
    if (validate(structuredClone(holder))) return undefined;
    const error = validate.errors?.[0];
    return `${error?.instancePath} ${error?.message}`;
  }

  #resolve(node: object | true | undefined): object {
    // Anything goes.
    if (typeof node !== 'object') return {};
    if (!('$ref' in node) || typeof node.$ref !== 'string') return node;
    let found: unknown = this.#document;
    for (const step of node.$ref.slice(2).split('/')) {
      found = (found as Record<string, unknown>)[decodeURIComponent(step).replaceAll('~1', '/')];
    }
    return this.#resolve(found as object);
  }

  /** What is given, and beside it all that the schema requires. */
  #filled(schema: object, given: unknown, depth: number): unknown {
    const shape = this.#chosen(schema, given === undefined);
    if (Array.isArray(given)) return given.map((item) => this.#filled(shape.items ?? {}, item, 0));
    if (given !== undefined && !isRecord(given)) return given;
    if (given === undefined && shape.type !== 'object' && shape.properties === undefined) {
      return plain(shape);
    }
    const whole: Record<string, unknown> = {};
    if (depth > 6) return whole;
    for (const name of new Set([...(shape.required ?? []), ...Object.keys(given ?? {})])) {
      const value = given?.[name];
      whole[name] = this.#filled(shape.properties?.[name] ?? {}, value, depth + 1);
    }
    return whole;
  }

  /** A schema without references and choices: of what may be null, null where nothing is given. */
  #chosen(schema: object, nothing: boolean): Shape {
    const shape = this.#resolve(schema) as Shape;
    const choices = shape.oneOf ?? shape.anyOf;
    if (choices !== undefined) {
      const ofNull = choices.find((each) => 'type' in each && each.type === 'null');
      if (nothing && ofNull !== undefined) return { type: 'null' };
      return this.#chosen(choices[0] ?? {}, nothing);
    }
    if (shape.allOf !== undefined) {
      const parts = shape.allOf.map((part) => this.#chosen(part, nothing));
      return {
        type: 'object',
        required: parts.flatMap((part) => part.required ?? []),
        properties: Object.assign({}, ...parts.map((part) => part.properties ?? {})),
      };
    }
    return nothing && shape.nullable === true ? { type: 'null' } : shape;
  }
}

/** The simplest value of a schema. */
function plain({ type, format, enum: choices, const: only, minimum }: Shape): unknown {
  if (only !== undefined) return only;
  if (choices !== undefined) return choices[0];
  switch (typeof type === 'object' ? (type.includes('null') ? 'null' : type[0]) : type) {
    case 'null':
      return null;
    case 'array':
      return [];
    case 'string':
      return format === 'date-time' ? '2026-01-01T00:00:00Z' : 'https://example.org/';
    case 'integer':
    case 'number':
      return minimum ?? 1;
    case 'boolean':
      return false;
    default:
      return {};
  }
}

/** OpenAPI's `nullable` beside a reference or a choice, as JSON Schema says it. */
function withNull(_key: string, node: unknown): unknown {
  if (!isRecord(node) || node['nullable'] !== true) return node;
  const { enum: choices } = node;
  if (Array.isArray(choices)) return { ...node, enum: [...new Set([...choices, null])] };
  if ('type' in node) return node;
  const { nullable: _, ...rest } = node;
  return { anyOf: [rest, { type: 'null' }] };
}

interface Shape {
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly format?: string;
  readonly nullable?: boolean;
  readonly minimum?: number;
  readonly enum?: readonly unknown[];
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, object>>;
  readonly items?: object;
  readonly oneOf?: readonly object[];
  readonly anyOf?: readonly object[];
  readonly allOf?: readonly object[];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
