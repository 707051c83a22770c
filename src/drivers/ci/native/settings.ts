import type { GithubLevel } from '../github/settings.ts';

/** Repositories at GitHub whose `.pomona.yaml` says what runs, without a CI server. */
export interface NativeSettings {
  readonly api: string;
  readonly web: string;
  readonly level: GithubLevel;
  /** Check runs can be made by Apps alone. */
  readonly credential: {
    readonly kind: 'app';
    readonly id: string;
    readonly installation?: number | undefined;
    readonly keySecret: string;
  };
  /** Name of the secret that webhooks are signed with. */
  readonly webhookSecret: string;
  /** Secrets of the fleet that trusted jobs may ask for. */
  readonly secrets: readonly string[];
  /** Authors whose forks need no approval. */
  readonly trustedAuthors: readonly string[];
}
