import { z } from 'zod';
import { PROBLEMS, problemSchema, type ProblemCode } from '../problem.ts';
import type { Route } from './route.ts';
import { API_PREFIX, LOG_MEDIA_TYPE, ROUTES } from './routes.ts';
import { SchemaCollection, type JsonSchema } from './schema-collection.ts';

/** Problems that any operation may answer with. */
const ALWAYS: readonly ProblemCode[] = [
  'bad_request',
  'invalid',
  'unauthenticated',
  'forbidden',
  'internal',
  'not_ready',
];

const PROBLEM = problemSchema.meta({ id: 'Problem' });

/** The OpenAPI 3.1 document of the HTTP API: a JSON value made from the table of routes alone. */
export function openApiDocument(version: string): Record<string, unknown> {
  const schemas = new SchemaCollection();
  const problem = schemas.add(PROBLEM, 'output');
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of Object.values<Route>(ROUTES)) {
    const methods = (paths[API_PREFIX + route.path] ??= {});
    methods[route.method.toLowerCase()] = operation(route, schemas, problem);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Pomona',
      version,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      description:
        'Errors are problem details (RFC 9457) with a stable `code`. Times are milliseconds since 1970.',
    },
    servers: [{ url: '/' }],
    security: [{ bearer: [] }],
    paths,
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', description: 'An API token' } },
      schemas: schemas.all(),
    },
  };
}

function operation(route: Route, schemas: SchemaCollection, problem: JsonSchema) {
  const body = requestBody(route, schemas);
  return {
    operationId: route.id,
    summary: route.summary,
    description: [route.description, `Needs the role \`${route.role}\`.`]
      .filter(Boolean)
      .join('\n\n'),
    parameters: [...pathParameters(route), ...queryParameters(route), ...headerParameters(route)],
    ...(body === undefined ? {} : { requestBody: body }),
    responses: { [route.status]: success(route, schemas), ...problems(route, problem) },
  };
}

function pathParameters(route: Route): unknown[] {
  return [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
}

function queryParameters(route: Route): unknown[] {
  if (route.query === undefined) return [];
  const { properties = {}, required = [] } = z.toJSONSchema(route.query, { io: 'input' });
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    schema,
  }));
}

function headerParameters(route: Route): unknown[] {
  const header = (name: string, schema: JsonSchema) => ({ name, in: 'header', schema });
  const key = { type: 'string', minLength: 1, maxLength: 255 };
  return [
    ...(route.idempotent === true ? [header('Idempotency-Key', key)] : []),
    ...(route.response === 'events' ? [header('Last-Event-ID', { type: 'string' })] : []),
  ];
}

function requestBody(route: Route, schemas: SchemaCollection): unknown {
  if (route.body === undefined) return undefined;
  const content =
    route.body === 'binary'
      ? binary()
      : { 'application/json': { schema: schemas.add(route.body, 'input') } };
  return { required: true, content };
}

function success(route: Route, schemas: SchemaCollection) {
  const description = PHRASES[route.status];
  if (route.response === undefined) return { description };
  if (route.response === 'binary') return { description, content: binary() };
  if (route.response !== 'events') {
    return {
      description,
      content: { 'application/json': { schema: schemas.add(route.response, 'output') } },
    };
  }
  const data = route.eventData === undefined ? {} : schemas.add(route.eventData, 'output');
  const events = { 'text/event-stream': { schema: eventStream(data) } };
  const others = { [LOG_MEDIA_TYPE]: {}, 'text/plain': { schema: { type: 'string' } } };
  return { description, content: route.id === 'jobLog' ? { ...events, ...others } : events };
}

const PHRASES = { 200: 'OK', 201: 'Created', 202: 'Accepted', 204: 'Done; no content' } as const;

function eventStream(data: JsonSchema): JsonSchema {
  return {
    type: 'string',
    description: 'Server-sent events; the data of each is JSON',
    contentMediaType: 'application/json',
    contentSchema: data,
  };
}

function binary() {
  return { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } };
}

/** One response for each status, since several problems may share it. */
function problems(route: Route, schema: JsonSchema): Record<string, unknown> {
  const notFound: readonly ProblemCode[] = route.path.includes('{') ? ['not_found'] : [];
  const large: readonly ProblemCode[] = route.body === undefined ? [] : ['too_large', 'disk_full'];
  const codes = new Set([...ALWAYS, ...notFound, ...large, ...(route.problems ?? [])]);
  const responses: Record<string, { description: string; content: unknown }> = {};
  for (const code of codes) {
    const { status, when } = PROBLEMS[code];
    const line = `\`${code}\`: ${when}`;
    const before = responses[status];
    responses[status] = {
      description: before === undefined ? line : `${before.description}\n\n${line}`,
      content: { 'application/problem+json': { schema } },
    };
  }
  return responses;
}
