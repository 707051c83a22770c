/** Counts up with each change of the rules: what was found by other rules is looked for again. */
export const RULES_VERSION = 1;

/** A kind of secret, known by its form wherever it is, be it in a file or in the blocks of a disk. */
export interface ContentRule {
  readonly name: string;
  /** For people: what it is. */
  readonly what: string;
  /** Bytes as latin1. Of bounded length, at most `LONGEST_MATCH`. No groups that capture. */
  readonly pattern: string;
}

export const LONGEST_MATCH = 2_048;

/**
 * Forms of tokens as their issuers document them. Keys of which only an opening line is there, as in
 * programs that read keys, and keys that are encrypted do not count.
 */
export const CONTENT_RULES: readonly ContentRule[] = [
  {
    name: 'private-key',
    what: 'a private key',
    pattern: String.raw`-----BEGIN (?:RSA |EC |DSA |OPENSSH )?PRIVATE KEY-----[\r\n]{1,2}[A-Za-z0-9+/=]{32,76}[\r\n]`,
  },
  {
    name: 'github-token',
    what: 'a token of GitHub',
    pattern: String.raw`\bgh[pousr]_[A-Za-z0-9]{36}\b|\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b`,
  },
  {
    name: 'github-runner',
    what: 'credentials of a GitHub runner',
    pattern: String.raw`"scheme":\s{0,4}"OAuth",\s{0,8}"data":\s{0,4}\{\s{0,8}"clientId"`,
  },
  {
    name: 'gitlab-token',
    what: 'a token of GitLab, or of one of its runners',
    pattern: String.raw`\bgl(?:pat|rt|cbt|ptt|dt|ft|soat|agent)-[A-Za-z0-9_-]{20,64}`,
  },
  {
    name: 'aws-key',
    what: 'an access key of AWS with its secret',
    pattern: String.raw`\b(?:AKIA|ASIA)[0-9A-Z]{16}\b[^\0]{1,120}?[^A-Za-z0-9/+][A-Za-z0-9/+]{40}[^A-Za-z0-9/+]`,
  },
  {
    name: 'slack-token',
    what: 'a token of Slack',
    pattern: String.raw`\bxox[abprs]-[0-9]{8,}-[A-Za-z0-9-]{16,120}`,
  },
  { name: 'npm-token', what: 'a token of npm', pattern: String.raw`\bnpm_[A-Za-z0-9]{36}\b` },
  {
    name: 'google-key',
    what: 'a key of a Google API',
    pattern: String.raw`\bAIza[0-9A-Za-z_-]{35}\b`,
  },
  {
    name: 'stripe-key',
    what: 'a live key of Stripe',
    pattern: String.raw`\b[rs]k_live_[0-9A-Za-z]{24,99}\b`,
  },
  {
    name: 'buildkite-token',
    what: 'a token of a Buildkite agent',
    pattern: String.raw`\bbkua_[0-9a-f]{40}\b`,
  },
  {
    name: 'pomona-token',
    what: 'a token of Pomona',
    pattern: String.raw`\bpomona_(?:host_|join_)?[A-Za-z0-9_-]{43}`,
  },
  {
    name: 'shell-history',
    what: 'the history of a shell',
    pattern: String.raw`(?:^|\n): 1[6-9][0-9]{8}:[0-9]{1,6};[^\n\0]{1,400}\n: 1[6-9][0-9]{8}:[0-9]{1,6};`,
  },
];

/** A kind of secret that a file's name tells, where a tree has names. */
export interface PathRule {
  readonly name: string;
  readonly what: string;
  /** Of the path's end, from a `/` or the beginning. */
  readonly path: RegExp;
}

export const PATH_RULES: readonly PathRule[] = [
  {
    name: 'shell-history',
    what: 'the history of a shell',
    path: /(?:^|\/)\.(?:(?:ba|z|fi)?sh_history|python_history|node_repl_history|psql_history|zsh_sessions\/[^/]+)$/,
  },
  {
    name: 'github-runner',
    what: 'credentials of a GitHub runner',
    path: /(?:^|\/)\.credentials_rsaparams$/,
  },
  {
    name: 'login-file',
    what: 'names and passwords for servers',
    path: /(?:^|\/)(?:\.netrc|\.git-credentials|\.aws\/credentials|\.config\/gh\/hosts\.yml|\.pypirc)$/,
  },
];
