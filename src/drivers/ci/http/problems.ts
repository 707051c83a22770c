import { CiError, type CiErrorCode } from '../ci.ts';

/** A secondary limit that names no time ends after a minute at the earliest (GitHub's rule). */
const UNNAMED_LIMIT_MS = 60_000;
const LONGEST_MESSAGE = 300;

/** What an answer that is an error means. */
export function problemOf(response: Response, text: string, what: string, now: number): CiError {
  const { status, headers } = response;
  const said = messageIn(text);
  const retryAt = limitedUntil(status, headers, now);
  const code = retryAt === undefined ? codeOf(status) : 'rate_limited';
  const needs = headers.get('x-accepted-github-permissions');
  const hint = hintOf(code, needs);
  const message = `${what}: ${status}${said === '' ? '' : ` ${said}`}${hint}`;
  return new CiError(code, message, { retryAt });
}

function codeOf(status: number): CiErrorCode {
  if (status === 401) return 'unauthorized';
  if (status === 403) return 'forbidden';
  if (status === 404) return 'not_found';
  if (status === 409) return 'conflict';
  if (status === 408 || status >= 500) return 'unavailable';
  if (status >= 300 && status < 400) return 'bad_answer';
  return 'refused';
}

function limitedUntil(status: number, headers: Headers, now: number): number | undefined {
  if (status !== 403 && status !== 429 && status !== 503) return undefined;
  const after = Number(headers.get('retry-after') ?? Number.NaN);
  if (Number.isFinite(after)) return now + after * 1000;
  const reset = Number(headers.get('x-ratelimit-reset') ?? Number.NaN);
  if (headers.get('x-ratelimit-remaining') === '0' && Number.isFinite(reset)) {
    return Math.max(now + 1000, reset * 1000);
  }
  return status === 429 ? now + UNNAMED_LIMIT_MS : undefined;
}

function hintOf(code: CiErrorCode, needs: string | null): string {
  if (code === 'unauthorized') return '; the credential is not accepted: set its secret anew';
  if (code !== 'forbidden' && code !== 'not_found') return '';
  if (needs !== null && needs !== '') return `; the credential needs the permission ${needs}`;
  return code === 'forbidden' ? '; the credential lacks a permission' : '';
}

function messageIn(text: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    if (typeof message === 'string') return message.slice(0, LONGEST_MESSAGE);
  } catch {
    // A page for people, or nothing.
  }
  const plain = text
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim();
  return plain.slice(0, LONGEST_MESSAGE);
}
