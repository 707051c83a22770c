import { z } from 'zod';
import { labelSchema } from '../../values.ts';
import { baseUrl, common, commonOf, secretName } from './common.ts';

/** The master tells of most by itself. */
const LOOK_MS = 10_000;
const MOST_WORKERS = 1_000;

const workers = z.strictObject({
  names: z
    .array(z.string().min(1).max(50))
    .min(1)
    .max(MOST_WORKERS)
    .describe("Names in `c['workers']` of the master"),
  password: secretName.describe('Secret with their password'),
  labels: z.array(labelSchema).default([]).describe('Labels of the machines that they need'),
});

export const buildbot = z
  .strictObject({
    kind: z.literal('buildbot'),
    ...common,
    url: baseUrl.describe("Of the master's web server"),
    master: z
      .string()
      .regex(/^[^:\s]+:\d{1,5}$/, 'expected HOST:PORT')
      .describe("Where machines reach the master's port for workers"),
    login: z
      .strictObject({
        user: z.string().min(1),
        password: secretName.describe('Secret with the password'),
      })
      .exactOptional()
      .describe('Who may stop workers at the master, where it asks'),
    workers: z
      .array(workers)
      .min(1)
      .describe('Workers of the master that machines are started for'),
    twistd: z
      .string()
      .min(1)
      .default('twistd')
      .describe("Program in the machine that starts the worker; Debian's is twistd3"),
  })
  .superRefine(({ workers: groups }, context) => {
    const names = groups.flatMap((group) => group.names);
    const twice = names.find((name, at) => names.indexOf(name) !== at);
    if (twice === undefined) return;
    context.addIssue({ code: 'custom', path: ['workers'], message: `${twice} is there twice` });
  })
  .transform((config) => ({
    kind: 'buildbot' as const,
    ...commonOf(config, LOOK_MS),
    settings: {
      ...{ url: config.url, master: config.master, twistd: config.twistd },
      login: config.login && { user: config.login.user, passwordSecret: config.login.password },
      workers: config.workers.map(({ names, password, labels }) => ({
        ...{ names, labels, passwordSecret: password },
      })),
    },
  }));
