import { z } from 'zod';
import { apiOf, app, levelOf, levels, oneLevel } from './github-access.ts';
import { baseUrl, common, commonOf, secretName } from './common.ts';

const download = z.strictObject({
  os: z.enum(['macos', 'linux']),
  arch: z.enum(['arm64', 'x64']),
  url: z.url({ protocol: /^https?$/ }).describe('A gzipped tar with run.sh in it'),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 hexadecimal digits'),
});

/** Looks are frequent where no webhook tells of jobs. */
const LOOK_WITH_WEBHOOKS_MS = 60_000;
const LOOK_ALONE_MS = 15_000;

export const github = z
  .strictObject({
    kind: z.literal('github'),
    ...common,
    url: baseUrl
      .prefault('https://github.com')
      .describe('Of GitHub Enterprise Server; default: https://github.com'),
    api: baseUrl.exactOptional().describe('Of the API; default: what belongs to `url`'),
    ...levels,
    repositories: z
      .array(z.string().regex(/^[A-Za-z0-9_*-]+\/[A-Za-z0-9._*-]+$/, 'expected owner/name, with *'))
      .default([])
      .describe('Repositories whose jobs are looked for; none: all that the credential sees'),
    app: app.exactOptional().describe('A GitHub App, the better way'),
    token: secretName.exactOptional().describe('Secret with a personal access token'),
    webhookSecret: secretName
      .exactOptional()
      .describe('Secret that the webhook at GitHub has; without it no webhook is taken'),
    runnerGroup: z.string().min(1).default('Default').describe('Runner group'),
    scaleSet: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'expected a name such as pomona-macs')
      .exactOptional()
      .describe('Use the queue of a runner scale set of this name; nothing of ours is called then'),
    runner: z
      .union([
        z.enum(['newest', 'image']),
        z.strictObject({ directory: z.string().min(1) }),
        z.strictObject({ downloads: z.array(download).min(1) }),
      ])
      .default('image')
      .describe(
        "Where workers have GitHub's runner: in the image (default, ~/actions-runner or /opt/actions-runner, or `directory`), the newest, or pinned downloads",
      ),
  })
  .superRefine((config, context) => {
    oneLevel(config, context);
    if ((config.app === undefined) === (config.token === undefined)) {
      context.addIssue({ code: 'custom', path: [], message: 'expected one of app and token' });
    }
    if (config.enterprise !== undefined && config.repositories.length === 0 && !config.scaleSet) {
      const message = 'expected repositories or scaleSet: an enterprise has no list of them';
      context.addIssue({ code: 'custom', path: ['repositories'], message });
    }
  })
  .transform((config) => {
    const lookMs = config.webhookSecret === undefined ? LOOK_ALONE_MS : LOOK_WITH_WEBHOOKS_MS;
    return {
      kind: 'github' as const,
      ...commonOf(config, lookMs),
      settings: {
        ...{ web: config.url, api: config.api ?? apiOf(config.url), level: levelOf(config) },
        credential: credentialOf(config),
        webhookSecret: config.webhookSecret,
        ...{ runnerGroup: config.runnerGroup, scaleSet: config.scaleSet, max: config.max },
        ...{ repositories: config.repositories, runner: runnerOf(config.runner) },
        askApprovals: config.trust.approvedForks !== config.trust.forks,
      },
    };
  });

function credentialOf({
  app,
  token,
}: {
  app?: { id: string | number; installation?: number; key: string };
  token?: string;
}) {
  if (app === undefined) return { kind: 'token' as const, secret: token ?? '' };
  const { installation } = app;
  return { kind: 'app' as const, id: String(app.id), installation, keySecret: app.key };
}

function runnerOf(
  runner:
    | 'newest'
    | 'image'
    | { directory: string }
    | { downloads: readonly z.output<typeof download>[] },
) {
  if (runner === 'newest') return { at: 'newest' as const };
  if (runner === 'image') return { at: 'image' as const, directory: '~/actions-runner' };
  if ('directory' in runner) return { at: 'image' as const, directory: runner.directory };
  return { at: 'pinned' as const, downloads: runner.downloads };
}
