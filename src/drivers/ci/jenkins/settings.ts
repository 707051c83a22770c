/** Where a Jenkins is, as whom it is asked, and what its agents are like. */
export interface JenkinsSettings {
  readonly url: string;
  readonly user: string;
  /** Name of the secret with the user's API token. */
  readonly tokenSecret: string;
  /** Folders whose builds are looked at; none: all. */
  readonly folders: readonly string[];
  /**
   * Names of nodes: `{host}`, `{os}` (major version), `{pool}`, `{team}`, `{fleet}` and `{worker}`,
   * which has to be in it: the secret of an agent comes of its name, so no name is used twice.
   */
  readonly nodeName: string;
  /** How agents connect: through HTTP, or by TCP to the agents' port. */
  readonly connection: 'websocket' | 'tcp';
  /** Directory of the agent in the worker. */
  readonly workDirectory: string;
  /** The Java that starts it there. */
  readonly java: string;
}
