/** Where runners of GitHub Actions are registered, and as whom. */
export interface GithubSettings {
  /** Such as `https://api.github.com`, or `https://HOST/api/v3` of GitHub Enterprise Server. */
  readonly api: string;
  /** Such as `https://github.com`. */
  readonly web: string;
  readonly level: GithubLevel;
  readonly credential: GithubCredential;
  /** Name of the secret that webhooks are signed with. Absent: none are taken. */
  readonly webhookSecret?: string | undefined;
  /** Name of the runner group. */
  readonly runnerGroup: string;
  /** Name of the runner scale set whose messages say what is wanted; absent: webhooks and looks. */
  readonly scaleSet?: string | undefined;
  /** Runners at most: what a scale set is told that it may assign jobs for. */
  readonly max: number;
  /** Repositories `owner/name` to look at, with `*`; none: all that the credential sees. */
  readonly repositories: readonly string[];
  readonly runner: RunnerPlace;
  /** Ask for each run of a fork whether somebody approved it. */
  readonly askApprovals: boolean;
}

export type GithubLevel =
  | { readonly kind: 'repository'; readonly owner: string; readonly name: string }
  | { readonly kind: 'organization'; readonly name: string }
  | { readonly kind: 'enterprise'; readonly name: string };

export type GithubCredential =
  | {
      readonly kind: 'app';
      /** App id or client id. */
      readonly id: string;
      /** Absent: looked up. */
      readonly installation?: number | undefined;
      /** Name of the secret with the private key in PEM. */
      readonly keySecret: string;
    }
  | { readonly kind: 'token'; readonly secret: string };

/** Where a worker finds the runner's program. */
export type RunnerPlace =
  /** In the image. */
  | { readonly at: 'image'; readonly directory: string }
  /** The newest that GitHub offers for the worker's system. */
  | { readonly at: 'newest' }
  | { readonly at: 'pinned'; readonly downloads: readonly RunnerDownload[] };

export interface RunnerDownload {
  readonly os: 'macos' | 'linux';
  readonly arch: 'arm64' | 'x64';
  readonly url: string;
  /** Hexadecimal. */
  readonly sha256: string;
}

/** What the routes of this level begin with. */
export function levelPath(level: GithubLevel): string {
  switch (level.kind) {
    case 'repository':
      return `repos/${level.owner}/${level.name}`;
    case 'organization':
      return `orgs/${level.name}`;
    case 'enterprise':
      return `enterprises/${level.name}`;
  }
}

/** The page that people know it by. */
export function levelUrl({ web, level }: Pick<GithubSettings, 'web' | 'level'>): string {
  switch (level.kind) {
    case 'repository':
      return `${web}/${level.owner}/${level.name}`;
    case 'organization':
      return `${web}/${level.name}`;
    case 'enterprise':
      return `${web}/enterprises/${level.name}`;
  }
}
