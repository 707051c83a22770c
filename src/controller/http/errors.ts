import { randomUUID } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { DatabaseError } from '../../db/database.ts';
import { nearest } from '../../domain/nearest.ts';
import type { Logger } from '../../platform/logger.ts';
import { ProblemError } from '../../protocol/problem.ts';

/** Parses with a schema. Throws the problem `invalid` that says where and what was expected. */
export function parse<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  what: string,
): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.flatMap((issue) => describe(issue, schema));
  const first = errors[0];
  const detail = `${what} is not as expected: ${first?.path === '' ? '' : `${first?.path}: `}${first?.message}`;
  throw new ProblemError('invalid', detail, { errors });
}

function describe(issue: z.core.$ZodIssue, schema: z.ZodType): { path: string; message: string }[] {
  const path = issue.path.map(String);
  if (issue.code !== 'unrecognized_keys') return [{ path: path.join('.'), message: issue.message }];
  const known = path.length === 0 ? knownKeys(schema) : [];
  return issue.keys.map((key) => {
    const near = nearest(key, known);
    const hint = near === undefined ? '' : `; did you mean ${near}?`;
    return { path: [...path, key].join('.'), message: `unknown key${hint}` };
  });
}

function knownKeys(schema: z.ZodType): string[] {
  return 'shape' in schema ? Object.keys(schema.shape as object) : [];
}

/** Answers with what went wrong, as `application/problem+json`. */
export function sendError(
  log: Logger,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const problem = toProblem(log, error, request).toProblem();
  if (problem.code === 'unauthenticated') void reply.header('www-authenticate', 'Bearer');
  // What was not read of a body that is too large is not waited for.
  if (problem.code === 'too_large') void reply.header('connection', 'close');
  void reply.code(problem.status).type('application/problem+json').send(JSON.stringify(problem));
}

function toProblem(log: Logger, error: unknown, request: FastifyRequest): ProblemError {
  if (error instanceof ProblemError) return error;
  if (error instanceof DatabaseError && error.code === 'disk_full') {
    return new ProblemError('disk_full', error.message);
  }
  const { statusCode, code, message } = error as {
    statusCode?: number;
    code?: string;
    message?: string;
  };
  if (statusCode === 413) {
    return new ProblemError('too_large', 'the body is larger than this operation takes');
  }
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new ProblemError('bad_request', message ?? 'the request could not be understood');
  }
  const incident = randomUUID();
  log.log('error', 'a request failed', {
    incident,
    method: request.method,
    route: request.routeOptions.url ?? '?',
    code,
    error,
  });
  return new ProblemError(
    'internal',
    `Pomona failed; the controller's log has more under incident ${incident}`,
  );
}
