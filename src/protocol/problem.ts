import { z } from 'zod';

/**
 * Every error the API gives, with its HTTP status and when it is given. The code is stable: clients
 * may decide by it. Bodies are `application/problem+json` (RFC 9457).
 */
export const PROBLEMS = {
  bad_request: { status: 400, when: 'the request could not be understood' },
  invalid: { status: 422, when: 'a value is not what was expected; `errors` says where' },
  unauthenticated: { status: 401, when: 'no token, or one that is wrong or expired' },
  forbidden: { status: 403, when: 'the token is right but its role may not do this' },
  not_found: { status: 404, when: 'there is no such thing, or no such path' },
  method_not_allowed: { status: 405, when: 'the path exists, the method does not' },
  conflict: { status: 409, when: 'it contradicts what is there already' },
  idempotency_mismatch: { status: 409, when: 'the idempotency key was used with another request' },
  stale_epoch: { status: 409, when: 'the job was given to another worker since' },
  wrong_offset: { status: 409, when: 'log bytes must follow what is there; `offset` says where' },
  no_pool: { status: 422, when: 'no pool has the name or the labels asked for' },
  unknown_secret: { status: 422, when: 'a secret of that name was never set' },
  no_host: { status: 422, when: 'the job asks for a host that is not in the fleet' },
  unknown_source: { status: 422, when: 'a source of that digest was never uploaded' },
  too_large: { status: 413, when: 'the body is larger than the limit' },
  disk_full: { status: 507, when: "the controller's disk is full; try again after making room" },
  not_ready: { status: 503, when: 'the controller is starting or stopping; try again' },
  internal: { status: 500, when: 'Pomona failed; the log of the controller says more' },
} as const satisfies Record<string, { status: number; when: string }>;

export type ProblemCode = keyof typeof PROBLEMS;

export const problemSchema = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  code: z.enum(Object.keys(PROBLEMS) as [ProblemCode, ...ProblemCode[]]),
  detail: z.string(),
  /** For `invalid`: each wrong place, as a path such as `payload.command.0`. */
  errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  /** For `wrong_offset`. */
  offset: z.number().optional(),
});

export type Problem = z.output<typeof problemSchema>;

/** Thrown by handlers; becomes the response. `detail` is for people and says what to do. */
export class ProblemError extends Error {
  readonly code: ProblemCode;
  readonly extra: Pick<Problem, 'errors' | 'offset'>;
  constructor(code: ProblemCode, detail: string, extra: Pick<Problem, 'errors' | 'offset'> = {}) {
    super(detail);
    this.name = 'ProblemError';
    this.code = code;
    this.extra = extra;
  }

  toProblem(): Problem {
    return {
      type: `urn:pomona:problem:${this.code}`,
      title: PROBLEMS[this.code].when,
      status: PROBLEMS[this.code].status,
      code: this.code,
      detail: this.message,
      ...this.extra,
    };
  }
}
