/** Errors of the command line and the exit codes they end it with. */

/** Thrown for a command that was not used as it should. */
export class UsageError extends Error {
  readonly code = 'usage';
}

/** Thrown to end with an exit code after everything was said. */
export class ExitError extends Error {
  readonly code = 'exit';
  readonly exitCode: number;
  constructor(exitCode: number, message = '') {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Exit codes: 1 a refusal or failure, 2 wrong usage, or what the command itself says. */
export function exitCodeOfError(error: unknown): number {
  if (error instanceof ExitError) return error.exitCode;
  return error instanceof UsageError ? 2 : 1;
}
