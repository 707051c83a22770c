import type { ProblemError } from '../src/protocol/problem.ts';

/** For `assert.rejects`: a problem of this kind that says this. */
export function isProblem(code: ProblemError['code'], says: RegExp): (error: unknown) => boolean {
  return (error) => {
    const { code: is, message } = error as ProblemError;
    return is === code && says.test(message);
  };
}
