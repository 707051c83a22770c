/** Where a Buildbot master is, and which of its workers are ours. */
export interface BuildbotSettings {
  /** Of its web server: what `/api/v2` is below. */
  readonly url: string;
  /** `HOST:PORT` at which machines reach the master's port for workers. */
  readonly master: string;
  /** Who to log in as, and the name of the secret with the password; absent: nobody. */
  readonly login?: { readonly user: string; readonly passwordSecret: string } | undefined;
  readonly workers: readonly BuildbotWorkers[];
  /** Program in the machine that starts the worker: `twistd`, or Debian's `twistd3`. */
  readonly twistd: string;
}

/** Workers in `c['workers']` of the master's configuration that are alike. */
export interface BuildbotWorkers {
  readonly names: readonly string[];
  /** Name of the secret with their password. */
  readonly passwordSecret: string;
  readonly labels: readonly string[];
}
