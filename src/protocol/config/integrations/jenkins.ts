import { z } from 'zod';
import { durationSchema } from '../../values.ts';
import { baseUrl, common, commonOf, secretName } from './common.ts';

/** Jenkins tells nothing by itself. */
const LOOK_MS = 2_000;

export const jenkins = z
  .strictObject({
    kind: z.literal('jenkins'),
    ...common,
    registerWithin: durationSchema
      .prefault('60s')
      .describe('How long an agent may take to connect; then its worker is given back'),
    url: baseUrl.describe('Of Jenkins, as agents reach it, too'),
    user: z.string().min(1).describe('Who Pomona is at Jenkins'),
    token: secretName.describe('Secret with an API token of that user'),
    folders: z
      .array(z.string().regex(/^[^/].*[^/]$|^[^/]$/, 'expected a folder such as team/ios'))
      .default([])
      .describe('Folders whose builds are looked at; none: all'),
    nodeName: z
      .string()
      .regex(/^[A-Za-z0-9{}._-]+$/, 'expected letters, digits, "-", "_", "." and {…}')
      .refine((pattern) => pattern.includes('{worker}'), {
        message: 'expected {worker} in it: the secret of an agent comes of its name',
      })
      .default('{host}-{pool}-{worker}')
      .describe('Names of nodes: {host}, {os}, {pool}, {team}, {fleet}, {worker}'),
    connection: z
      .enum(['websocket', 'tcp'])
      .default('websocket')
      .describe("How agents connect: through HTTP, or to Jenkins' port for agents"),
    workDirectory: z.string().min(1).default('~/jenkins').describe('Of the agent, in the worker'),
    java: z.string().min(1).default('java').describe('The Java in the worker'),
  })
  .transform((config) => ({
    kind: 'jenkins' as const,
    ...commonOf(config, LOOK_MS),
    settings: {
      ...{ url: config.url, user: config.user, tokenSecret: config.token },
      ...{ folders: config.folders, nodeName: config.nodeName, connection: config.connection },
      ...{ workDirectory: config.workDirectory, java: config.java },
    },
  }));
