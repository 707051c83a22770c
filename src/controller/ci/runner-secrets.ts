import type { Secrets } from '../secrets.ts';

/** The secret environment of a runner, sealed for its name alone. */
export function sealRunnerSecrets(
  secrets: Secrets,
  name: string,
  environment: Readonly<Record<string, string>>,
): string {
  return secrets.seal(JSON.stringify(environment), about(name));
}

export function runnerSecrets(
  secrets: Secrets,
  name: string,
  sealed: string,
): Record<string, string> {
  return JSON.parse(secrets.open(sealed, about(name))) as Record<string, string>;
}

function about(name: string): string {
  return `runner ${name}`;
}
