import { z } from 'zod';
import { envNameSchema } from '../../values.ts';
import { app, apiOf, levelOf, levels, oneLevel } from './github-access.ts';
import { baseUrl, common, commonOf, secretName } from './common.ts';

const LOOK_MS = 2_000;

export const native = z
  .strictObject({
    kind: z.literal('native'),
    ...common,
    url: baseUrl
      .prefault('https://github.com')
      .describe('Of GitHub Enterprise Server; default: https://github.com'),
    api: baseUrl.exactOptional().describe('Of the API; default: what belongs to `url`'),
    repository: levels.repository,
    organization: levels.organization,
    app: app.describe('The GitHub App whose checks tell how jobs went'),
    webhookSecret: secretName.describe("Secret that the App's webhook has"),
    secrets: z
      .array(envNameSchema)
      .default([])
      .describe('Secrets of the fleet that trusted jobs may ask for in `.pomona.yaml`'),
  })
  .superRefine(oneLevel)
  .transform((config) => ({
    kind: 'native' as const,
    ...commonOf(config, LOOK_MS),
    settings: {
      ...{ web: config.url, api: config.api ?? apiOf(config.url), level: levelOf(config) },
      credential: {
        ...{ kind: 'app' as const, id: String(config.app.id), keySecret: config.app.key },
        installation: config.app.installation,
      },
      ...{ webhookSecret: config.webhookSecret, secrets: config.secrets },
      trustedAuthors: config.trust.trustedAuthors,
    },
  }));
