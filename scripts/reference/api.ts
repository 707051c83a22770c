import { openApiDocument } from '../../src/protocol/api/openapi.ts';
import type { Route } from '../../src/protocol/api/route.ts';
import { API_PREFIX, ROUTES } from '../../src/protocol/api/routes.ts';
import { code, defaultOf, kindOf, table, type Schema } from './markdown.ts';

interface Operation {
  readonly summary: string;
  readonly description: string;
  readonly parameters: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
    readonly schema: Schema;
  }[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, { description: string; content?: Content }>>;
}
type Content = Readonly<Record<string, { readonly schema?: Schema }>>;

/** The page of every operation and shape of the HTTP API. */
export function apiPage(): string {
  const document = openApiDocument('') as {
    readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
    readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
  };
  const operations = Object.values<Route>(ROUTES).map((route) => {
    const path = API_PREFIX + route.path;
    const operation = document.paths[path]?.[route.method.toLowerCase()];
    return operation === undefined ? '' : operationText(`${route.method} ${path}`, operation);
  });
  const shapes = Object.entries(document.components.schemas).map(
    ([name, schema]) => `### ${name}\n\n${shapeText(schema)}`,
  );
  return `# HTTP API

Every operation below \`${API_PREFIX}\`. A running controller serves the same as OpenAPI 3.1 at
\`${API_PREFIX}/openapi.json\`, and as a page at \`${API_PREFIX}/docs\`. Send a token as
\`Authorization: Bearer TOKEN\`. Errors are problem details (RFC 9457); their codes are in
[errors](errors.md). Times are milliseconds since 1970. See [the guide](../guides/api.md) for events,
logs and paging.

## Operations

${operations.join('\n\n')}

## Shapes

${shapes.join('\n\n')}
`;
}

function operationText(title: string, operation: Operation): string {
  const parameters = operation.parameters.map((parameter) => [
    code(parameter.name),
    parameter.in,
    kindOf(parameter.schema) + (parameter.required === true ? ' (needed)' : ''),
    defaultOf(parameter.schema),
  ]);
  const responses = Object.entries(operation.responses);
  const answers = responses
    .filter(([status]) => Number(status) < 400)
    .map(
      ([status, { description, content }]) => `${status}, ${contentText(content) || description}`,
    );
  const errors = responses
    .filter(([status]) => Number(status) >= 400)
    .flatMap(([, { description }]) => description.match(/`\w+`(?=:)/g) ?? []);
  const body = contentText(operation.requestBody?.content);
  return [
    `### ${title}`,
    `${operation.summary}. ${operation.description.split('\n\n').join(' ')}`,
    ...(parameters.length === 0
      ? []
      : [table(['parameter', 'in', 'value', 'default'], parameters)]),
    ...(body === '' ? [] : [`Body: ${body}.`]),
    `Answers ${answers.join('; ')}.`,
    `Errors: ${errors.join(', ')}.`,
  ].join('\n\n');
}

function contentText(content: Content | undefined): string {
  return Object.entries(content ?? {})
    .filter(([type]) => type !== 'application/problem+json')
    .map(([type, { schema }]) =>
      type === 'application/json' && schema !== undefined ? kindOrKeys(schema) : code(type),
    )
    .join(', or ');
}

/** A shape without a name is told by its keys. */
function kindOrKeys(schema: Schema): string {
  if (schema.properties === undefined) return kindOf(schema);
  const keys = Object.entries(schema.properties).map(
    ([name, inner]) => `${code(name)} (${kindOf(inner)})`,
  );
  return `an object of ${keys.join(', ')}`;
}

function shapeText(schema: Schema): string {
  if (schema.properties === undefined) return kindOf(schema);
  const rows = Object.entries(schema.properties).map(([name, inner]) => [
    code(name),
    kindOf(inner),
    schema.required?.includes(name) === true ? 'always' : '',
    defaultOf(inner),
    inner.description ?? '',
  ]);
  return table(['key', 'value', 'there', 'default', 'meaning'], rows);
}
