import { z } from 'zod';
import { nearest } from '../../domain/nearest.ts';
import { ProblemError, type Problem } from '../../protocol/problem.ts';

type Issue = z.core.$ZodIssue;

/**
 * What `schema` makes of `value`. Throws ProblemError `invalid` that names each wrong place and
 * what was expected there, never the value itself, which may be a secret.
 * @param what the part of the request, for people: `body`, `query`
 */
export function parseWith<T extends z.ZodType>(
  schema: T,
  value: unknown,
  what: string,
): z.output<T> {
  const parsed = schema.safeParse(value, { error: messageOf });
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.flatMap((issue) => errorsOf(issue));
  const places = errors.map(({ path, message }) => `${path === '' ? what : path}: ${message}`);
  const more = places.length > 3 ? `; and ${places.length - 3} more` : '';
  throw new ProblemError(
    'invalid',
    `the ${what} is not what was expected: ${places.slice(0, 3).join('; ')}${more}`,
    { errors },
  );
}

function errorsOf(issue: Issue): NonNullable<Problem['errors']> {
  const path = issue.path.map(String).join('.');
  if (issue.code === 'invalid_key') {
    return issue.issues.map(({ message }) => ({ path, message: `this key: ${message}` }));
  }
  if (issue.code === 'unrecognized_keys') {
    const [only, ...others] = issue.keys;
    const whole = others.length === 0 && only !== undefined;
    return [{ path: whole ? [...issue.path, only].join('.') : path, message: issue.message }];
  }
  return [{ path, message: issue.message }];
}

/** Our message for an issue, undefined for the library's. */
function messageOf(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case 'unrecognized_keys':
      return unknownKeys(issue.keys, knownKeys(issue.inst));
    case 'invalid_type':
      return issue.input === undefined
        ? `expected ${issue.expected}, but it is missing`
        : `expected ${issue.expected}, not ${kindOf(issue.input)}`;
    case 'invalid_value':
      return `expected ${issue.values.map((value) => JSON.stringify(value)).join(' or ')}`;
    default:
      return undefined;
  }
}

function unknownKeys(keys: readonly string[], known: readonly string[]): string {
  const hints = keys.map((key) => {
    const near = nearest(key, known);
    return near === undefined
      ? `no key ${key} is known here`
      : `unknown key ${key}, did you mean ${near}?`;
  });
  const list = known.length === 0 ? 'none is expected' : `known are ${known.join(', ')}`;
  return `${hints.join('; ')} (${list})`;
}

function knownKeys(schema: unknown): string[] {
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return typeof value === 'number' && Number.isNaN(value) ? 'what was given' : typeof value;
}
