import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openApiDocument } from './openapi.ts';
import { API_PREFIX, ROUTES } from './routes.ts';

interface Operation {
  operationId: string;
  parameters: { name: string; in: string; required?: boolean }[];
  requestBody?: { content: Record<string, { schema: { $ref?: string } }> };
  responses: Record<string, { description: string; content?: Record<string, unknown> }>;
}

const text = JSON.stringify(openApiDocument('1.2.3'));
const document = JSON.parse(text) as {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, unknown>; securitySchemes: Record<string, unknown> };
};
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
);

function references(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, part]) =>
    key === '$ref' ? [String(part)] : references(part),
  );
}

describe('the OpenAPI document', () => {
  it('describes every route of the table once, under its id', () => {
    assert.match(document.openapi, /^3\.1\./);
    const described = operations.map(
      ({ path, method, operation }) => `${operation.operationId} ${method} ${path}`,
    );
    const routes = Object.values(ROUTES).map(
      (route) => `${route.id} ${route.method.toLowerCase()} ${API_PREFIX}${route.path}`,
    );
    assert.deepEqual(described.toSorted(), routes.toSorted());
    assert.equal(
      new Set(operations.map(({ operation }) => operation.operationId)).size,
      routes.length,
    );
  });

  it('has no reference that leads nowhere, and no local definitions', () => {
    const all = references(document);
    assert(all.length > 20);
    for (const reference of all) {
      const name = /^#\/components\/schemas\/(\w+)$/.exec(reference)?.[1];
      assert(name !== undefined && name in document.components.schemas, reference);
    }
    assert(!text.includes('$defs'));
  });

  it('declares each parameter of each path, and no others', () => {
    for (const { path, operation } of operations) {
      const declared = operation.parameters.filter((parameter) => parameter.in === 'path');
      const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      assert.deepEqual(
        declared.map(({ name }) => name),
        names,
      );
      assert(declared.every(({ required }) => required === true));
    }
  });

  it('lets requests leave out what has a default, and answers name all that is there', () => {
    const { schemas } = document.components;
    const request = schemas['JobRequest'] as { required: string[]; additionalProperties: boolean };
    assert.deepEqual(request.required, ['command']);
    assert.equal(request.additionalProperties, false);
    const input = schemas['PoolSpecInput'] as { required: string[] };
    const output = schemas['PoolSpec'] as { required: string[]; additionalProperties?: boolean };
    assert.deepEqual(input.required, ['name']);
    assert(output.required.includes('ready'));
    assert.equal(output.additionalProperties, undefined);
  });

  it('describes streams, raw bytes, headers and problems', () => {
    const find = (id: string) =>
      operations.find((each) => each.operation.operationId === id)?.operation;
    const log = find('jobLog');
    assert.deepEqual(Object.keys(log?.responses['200']?.content ?? {}).toSorted(), [
      'application/vnd.pomona.log',
      'text/event-stream',
      'text/plain',
    ]);
    assert(log?.parameters.some(({ name }) => name === 'Last-Event-ID'));
    const submit = find('submitJob');
    assert(submit?.parameters.some(({ name }) => name === 'Idempotency-Key'));
    assert.match(submit?.responses['422']?.description ?? '', /`no_pool`/);
    assert(submit?.responses['401']?.content?.['application/problem+json'] !== undefined);
    assert.deepEqual(Object.keys(find('putSource')?.requestBody?.content ?? {}), [
      'application/octet-stream',
    ]);
  });
});
