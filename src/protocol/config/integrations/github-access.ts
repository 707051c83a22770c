import { z } from 'zod';
import { secretName } from './common.ts';

/** Where at GitHub, and as which App. */

const ownerName = /^[A-Za-z0-9][A-Za-z0-9_-]*$/;
const repositoryName = /^([A-Za-z0-9][A-Za-z0-9_-]*)\/([A-Za-z0-9._-]+)$/;

export const levels = {
  repository: z
    .string()
    .regex(repositoryName, 'expected owner/name')
    .exactOptional()
    .describe('For one repository'),
  organization: z
    .string()
    .regex(ownerName, 'expected the name of an organization')
    .exactOptional()
    .describe('For an organization'),
  enterprise: z
    .string()
    .regex(ownerName, 'expected the short name of an enterprise')
    .exactOptional()
    .describe('For an enterprise'),
};

export const app = z.strictObject({
  id: z.union([z.string().min(1), z.int()]).describe('App id or client id'),
  installation: z.int().exactOptional().describe('Default: it is looked up'),
  key: secretName.describe('Secret with the private key in PEM'),
});

interface Levels {
  readonly repository?: string;
  readonly organization?: string;
  readonly enterprise?: string;
}

export function oneLevel(config: Levels, context: z.RefinementCtx): void {
  const named = [config.repository, config.organization, config.enterprise];
  if (named.filter((level) => level !== undefined).length === 1) return;
  const message = 'expected one of repository, organization and enterprise';
  context.addIssue({ code: 'custom', path: [], message });
}

export function apiOf(url: string): string {
  return url === 'https://github.com' ? 'https://api.github.com' : `${url}/api/v3`;
}

export function levelOf(config: Levels) {
  const [, owner, name] = repositoryName.exec(config.repository ?? '') ?? [];
  if (owner !== undefined && name !== undefined) {
    return { kind: 'repository' as const, owner, name };
  }
  if (config.organization !== undefined) {
    return { kind: 'organization' as const, name: config.organization };
  }
  return { kind: 'enterprise' as const, name: config.enterprise ?? '' };
}
