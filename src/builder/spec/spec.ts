/**
 * A build: nested builds, made before it, then operations over a base. Plain data, one to one with
 * both ways to write it. Facts: the documentation of OBuilder's specifications.
 */
export interface Spec {
  readonly builds: readonly NestedBuild[];
  readonly from: string;
  readonly ops: readonly Op[];
}

export interface NestedBuild {
  readonly name: string;
  readonly spec: Spec;
}

export type Op =
  | { readonly op: 'comment'; readonly text: string }
  /** A relative one joins the one before. */
  | { readonly op: 'workdir'; readonly dir: string }
  /** What each `run` puts before its command. */
  | { readonly op: 'shell'; readonly argv: readonly string[] }
  | { readonly op: 'user'; readonly user: User }
  | { readonly op: 'env'; readonly name: string; readonly value: string }
  | RunOp
  | CopyOp;

export interface RunOp {
  readonly op: 'run';
  readonly caches: readonly CacheUse[];
  /** `host` is the only network; none of that name means an isolated one. */
  readonly network: readonly string[];
  readonly secrets: readonly SecretUse[];
  readonly shell: string;
}

export interface CopyOp {
  readonly op: 'copy';
  /** Name of a nested build; undefined: the build's context. */
  readonly from: string | undefined;
  readonly src: readonly string[];
  /** Ending in `/`: each source goes into it; otherwise the one source becomes it. */
  readonly dst: string;
  /** Names of files and directories that are left out, wherever they are. */
  readonly exclude: readonly string[];
}

export type User = { readonly uid: number; readonly gid: number } | { readonly name: string };

export interface CacheUse {
  readonly id: string;
  readonly target: string;
  /** Kept for Dockerfiles only. */
  readonly buildkitOptions: readonly (readonly [string, string])[];
}

export interface SecretUse {
  readonly id: string;
  /** File that holds the secret. */
  readonly target: string;
}

/** Where a secret is that names no target. */
export function defaultSecretTarget(id: string): string {
  return `/run/secrets/${id}`;
}

/** What the first `run` goes by. */
export const DEFAULT_SHELL: readonly string[] = ['/bin/bash', '-c'];
