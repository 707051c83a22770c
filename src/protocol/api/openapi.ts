import { z } from 'zod';
import { PROBLEMS, problemSchema, type ProblemCode } from '../problem.ts';
import { LOG_MEDIA_TYPE, API_PREFIX, ROUTES } from './routes.ts';
import type { Route } from './route.ts';

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly parameters: readonly object[];
  readonly requestBody?: object;
  readonly responses: Readonly<Record<string, object>>;
}

export interface OpenApiDocument {
  readonly openapi: '3.1.0';
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly security: readonly object[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, object>>;
    readonly securitySchemes: object;
  };
}

/** Problems that any operation may answer with. */
const COMMON: readonly ProblemCode[] = [
  'bad_request',
  'invalid',
  'unauthenticated',
  'forbidden',
  'not_found',
  'too_large',
  'disk_full',
  'internal',
];

/** The OpenAPI 3.1 description of the API, made from its routes. */
export function openApiDocument(version: string): OpenApiDocument {
  const schemas: Record<string, object> = {};
  const paths: Record<string, Record<string, Operation>> = {};
  const add = (schema: z.ZodType, io: 'input' | 'output'): object => register(schemas, schema, io);
  for (const route of Object.values(ROUTES) as Route[]) {
    const methods = (paths[API_PREFIX + route.path] ??= {});
    methods[route.method.toLowerCase()] = operationOf(route, add);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Pomona',
      version,
      description:
        'Every job a fresh worker. Times are milliseconds since 1970, durations milliseconds.',
    },
    security: [{ bearer: [] }],
    paths,
    components: {
      schemas,
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } },
    },
  };
}

function operationOf(
  route: Route,
  add: (schema: z.ZodType, io: 'input' | 'output') => object,
): Operation {
  const problems = [...COMMON, ...(route.problems ?? [])];
  return {
    operationId: route.id,
    summary: route.summary,
    description: `${route.description ?? ''} Needs the role ${route.role}.`.trim(),
    parameters: parametersOf(route),
    ...(route.body === undefined ? {} : { requestBody: bodyOf(route.body, add) }),
    responses: {
      [String(route.status)]: { description: 'It worked.', ...contentOf(route, add) },
      default: {
        description: problems.map((code) => `${code}: ${PROBLEMS[code].when}`).join('; '),
        content: { 'application/problem+json': { schema: add(problemSchema, 'output') } },
      },
    },
  };
}

function parametersOf(route: Route): object[] {
  const inPath = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  const key = { name: 'Idempotency-Key', in: 'header', schema: { type: 'string', maxLength: 255 } };
  return [...inPath, ...queryParameters(route), ...(route.idempotent === true ? [key] : [])];
}

function queryParameters(route: Route): object[] {
  if (route.query === undefined) return [];
  const schema = z.toJSONSchema(route.query, { io: 'input', unrepresentable: 'any' });
  return Object.entries(schema.properties ?? {}).map(([name, property]) => ({
    name,
    in: 'query',
    required: schema.required?.includes(name) ?? false,
    schema: property,
  }));
}

function bodyOf(
  body: z.ZodType | 'binary',
  add: (schema: z.ZodType, io: 'input') => object,
): object {
  if (body === 'binary') return { required: true, content: { 'application/octet-stream': {} } };
  return { required: true, content: { 'application/json': { schema: add(body, 'input') } } };
}

function contentOf(
  route: Route,
  add: (schema: z.ZodType, io: 'output') => object,
): { content?: object } {
  const { response } = route;
  if (response === undefined) return {};
  if (response === 'binary') return { content: { 'application/octet-stream': {} } };
  if (response !== 'events')
    return { content: { 'application/json': { schema: add(response, 'output') } } };
  const events = route.eventData === undefined ? {} : { schema: add(route.eventData, 'output') };
  const forms = route.id === ROUTES.jobLog.id ? { [LOG_MEDIA_TYPE]: {}, 'text/plain': {} } : {};
  return { content: { 'text/event-stream': events, ...forms } };
}

/** Moves named schemas to the components, and returns the schema with references to them. */
function register(
  schemas: Record<string, object>,
  schema: z.ZodType,
  io: 'input' | 'output',
): object {
  const made = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  const { $schema: _dialect, $defs = {}, ...rest } = made;
  for (const [name, definition] of Object.entries($defs)) schemas[name] = relocated(definition);
  return relocated(rest);
}

function relocated(schema: object): object {
  return JSON.parse(
    JSON.stringify(schema).replaceAll('"#/$defs/', '"#/components/schemas/'),
  ) as object;
}
