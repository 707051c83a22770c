import type { CheckLine, CiTools } from '../ci.ts';
import type { CiHttp } from '../http/http.ts';
import { tried } from '../tried.ts';
import type { GithubAuth } from './auth.ts';
import type { GithubListing } from './listing.ts';
import type { GithubRunners } from './runners.ts';
import type { ScaleSet } from './scale-set.ts';
import { levelPath, type GithubSettings } from './settings.ts';
import { downloadsSchema } from './wire.ts';

interface Parts {
  readonly tools: CiTools;
  readonly auth: GithubAuth;
  readonly listing: GithubListing;
  readonly runners: GithubRunners;
  readonly http: CiHttp;
  readonly scaleSet: ScaleSet | undefined;
}

/** Tries each permission that runners need, and says which is missing. */
export async function checkGithub(
  settings: GithubSettings,
  parts: Parts,
  signal: AbortSignal,
): Promise<CheckLine[]> {
  const { auth, listing, runners, scaleSet, tools, http } = parts;
  const { credential, level, webhookSecret } = settings;
  const token = await tried(
    'credential',
    async () => {
      await auth.token(signal);
      return credential.kind === 'app' ? `App ${credential.id}` : 'a personal access token';
    },
    credential.kind === 'app'
      ? 'set `app.id` to the App and the secret of `app.key` to its private key; install it there'
      : 'set the secret of `token` to a token that is valid',
  );
  if (!token.ok) return [token];
  const admin = {
    repository: 'repository permission Administration: read and write (classic token: repo)',
    organization:
      'organization permission Self-hosted runners: read and write (classic token: admin:org)',
    enterprise: 'a classic token with manage_runners:enterprise',
  }[level.kind];
  const lines = [
    token,
    await tried(
      'runners',
      async () => `${(await listing.runners(tools.owned, signal)).length} of this fleet`,
      admin,
    ),
    await tried(
      'runner group',
      async () => `${settings.runnerGroup} has the id ${await runners.groupId(signal)}`,
      `${admin}; or another \`runnerGroup\``,
    ),
  ];
  if (scaleSet !== undefined) {
    lines.push(await tried('scale set', () => scaleSet.describe(signal), admin));
  } else {
    lines.push(
      await tried(
        'jobs',
        async () => {
          const { sources, jobs } = await listing.jobs(tools.clock.now(), signal);
          return `${jobs.length} wait or run in ${sources.length} repositories`;
        },
        'repository permissions Actions: read and Metadata: read (classic token: repo)',
      ),
    );
    lines.push(
      webhookSecret === undefined
        ? { what: 'webhooks', ok: true, detail: 'none: jobs are found by looking alone' }
        : await tried(
            'webhooks',
            async () => {
              await tools.secret(webhookSecret);
              return 'the secret is set; choose the event Workflow jobs at GitHub';
            },
            'set the secret to what the webhook at GitHub has',
          ),
    );
  }
  if (settings.runner.at === 'newest') {
    const path = `${levelPath(level)}/actions/runners/downloads`;
    const what = 'the downloads of the runner';
    lines.push(
      await tried(
        'runner program',
        async () => {
          const offered = await http.get({ path, schema: downloadsSchema, what }, signal);
          return offered.map(({ filename }) => filename).join(', ');
        },
        admin,
      ),
    );
  }
  return lines;
}
