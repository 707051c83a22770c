import { CiError, type CheckLine } from './ci.ts';

/** One line of a check. `advice`: what to do when the CI system refuses. */
export async function tried(
  what: string,
  attempt: () => Promise<string>,
  advice: string,
): Promise<CheckLine> {
  try {
    return { what, ok: true, detail: await attempt() };
  } catch (error) {
    const message = (error as Error).message;
    const refused =
      error instanceof CiError &&
      ['unauthorized', 'forbidden', 'not_found', 'no_secret'].includes(error.code);
    return { what, ok: false, detail: refused ? `${message}. It needs: ${advice}` : message };
  }
}
