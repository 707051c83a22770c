import { z } from 'zod';
import { DEFAULT_TRUST } from '../../../domain/ci/trust.ts';
import { durationSchema, envNameSchema, labelSchema, nameSchema } from '../../values.ts';

/** What every integration's configuration has. */

/** Names a secret of the fleet: `pomona secret set NAME`. */
export const secretName = envNameSchema;

/** Without a slash at its end. */
export const baseUrl = z
  .url({ protocol: /^https?$/, message: 'expected a URL such as https://ci.example.org' })
  .transform((url) => url.replace(/\/+$/, ''));

const forks = z.enum(['trusted', 'untrusted', 'refused']);

const route = z.strictObject({
  labels: z
    .array(labelSchema)
    .default([])
    .describe('A job fits when each of its labels is here; runners register with all of them'),
  sources: z
    .array(z.string().min(1).max(256))
    .default([])
    .describe('Repositories, folders or builders, with *; none: any'),
  pool: nameSchema.describe('Pool whose workers are the runners'),
  priority: z.int().min(-1000).max(1000).default(0).describe('Higher runs earlier'),
  team: nameSchema.exactOptional().describe('Who shares the fleet with whom'),
  max: z.int().min(1).max(100_000).default(100_000).describe('Runners at the same time at most'),
  standby: z
    .int()
    .min(0)
    .max(10_000)
    .default(0)
    .describe('Runners kept registered without a job, beside what the pool keeps booted'),
});

const trust = z
  .strictObject({
    forks: forks.default(DEFAULT_TRUST.forks).describe('Jobs of forks'),
    approvedForks: forks
      .default(DEFAULT_TRUST.approvedForks)
      .describe('Jobs of forks that somebody approved'),
    trustedAuthors: z
      .array(z.string().min(1))
      .default([])
      .describe('Logins whose forks are trusted'),
    unknown: forks
      .default(DEFAULT_TRUST.unknown)
      .describe('Jobs of which the CI system does not say what set them off'),
  })
  .prefault({})
  .describe('Untrusted jobs run in pools with `trust: untrusted` alone');

export const common = {
  name: nameSchema.describe('Name of the integration; part of the address of its webhook'),
  routes: z
    .array(route)
    .default([])
    .describe('Labels to pools, the first that fits; none: pools by their own labels'),
  trust,
  max: z.int().min(1).max(100_000).default(1_000).describe('Runners at the same time at most'),
  idle: durationSchema.prefault('2m').describe('How long a runner that nobody needs may wait'),
  registerWithin: durationSchema
    .prefault('5m')
    .describe('How long a runner may take from its credential to its registration'),
  standbyFor: durationSchema
    .prefault('12h')
    .describe('How long a runner may wait for a job before another takes its place'),
  lookEvery: durationSchema
    .exactOptional()
    .describe('How often the CI system is looked at, beside what it tells by itself'),
};

/** What `common` is called inside. */
export function commonOf<
  Common extends {
    name: string;
    max: number;
    routes: readonly z.output<typeof route>[];
    trust: z.output<typeof trust>;
    idle: number;
    registerWithin: number;
    standbyFor: number;
    lookEvery?: number;
  },
>(config: Common, lookMs: number) {
  return {
    ...{ name: config.name, routes: config.routes, trust: config.trust, max: config.max },
    ...{ idleMs: config.idle, registerMs: config.registerWithin, standbyMs: config.standbyFor },
    lookMs: config.lookEvery ?? lookMs,
  };
}
