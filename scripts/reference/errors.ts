import { PROBLEMS } from '../../src/protocol/problem.ts';
import { code, table } from './markdown.ts';

/** The page of every stable error code. */
export function errorsPage(): string {
  return `# Errors

Every error of the API is \`application/problem+json\` (RFC 9457) with one of these codes, which stay as
they are. \`detail\` says in words what is wrong and what to do. The client ends with exit code 1 for
any of them, \`pomona run\` with 125.

${table(
  ['code', 'status', 'given when'],
  Object.entries(PROBLEMS).map(([name, { status, when }]) => [code(name), String(status), when]),
)}
`;
}
