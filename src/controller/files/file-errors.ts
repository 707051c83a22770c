import { ProblemError } from '../../protocol/problem.ts';

/** True when `error` carries one of these system error codes. */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false;
  return typeof error.code === 'string' && codes.includes(error.code);
}

/** True for a write that failed because the disk, or the quota, is full. */
export function isDiskFull(error: unknown): boolean {
  return hasCode(error, 'ENOSPC', 'EDQUOT');
}

/** The problem to answer with when a write failed: `disk_full`, or `error` itself. */
export function writeProblem(error: unknown, what: string): unknown {
  if (!isDiskFull(error)) return error;
  return new ProblemError(
    'disk_full',
    `${what} could not be stored: the controller's disk is full; make room and try again`,
  );
}
