/** Thrown for what keeps a build from going on, other than a step's own failure. */
export class BuildError extends Error {
  /**
   * - `bad_source`: what a copy names is missing, outside its root, or cannot be copied
   * - `source_changed`: a source changed while it was copied; build again
   * - `bad_target`: a place inside the build that cannot be written to
   * - `unknown_secret`: a step needs a secret that was not given
   * - `unsupported`: the store or sandbox lacks what the spec needs
   * - `bad_base`: the base cannot be had
   * - `machine`: a virtual machine cannot be made, started, reached or kept
   * - `needs_person`: a step is for a person, and nobody is there
   * - `corrupt`: the store lacks or has spoilt what the index says it has
   */
  readonly code:
    | 'bad_source'
    | 'source_changed'
    | 'bad_target'
    | 'unknown_secret'
    | 'unsupported'
    | 'bad_base'
    | 'machine'
    | 'needs_person'
    | 'corrupt';
  constructor(code: BuildError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'BuildError';
    this.code = code;
  }
}
