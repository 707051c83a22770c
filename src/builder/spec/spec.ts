/**
 * A build: nested builds, made before it, then operations over a base. Plain data, one to one with
 * both ways to write it. Facts: the documentation of OBuilder's specifications.
 */
export interface Spec {
  readonly builds: readonly NestedBuild[];
  readonly from: string;
  /** What its steps run in, over bases that are virtual machines. */
  readonly machine?: Machine;
  readonly ops: readonly Op[];
}

/** A virtual machine that steps run in. Nothing of it counts for what a step makes but `diskBytes`. */
export interface Machine {
  /** Name of a VM driver; absent: the best of the host. */
  readonly driver?: string;
  /** Absent: macOS. */
  readonly guest?: 'macos' | 'linux';
  /** Who steps run as; absent: the driver's default. */
  readonly user?: string;
  readonly cpus?: number;
  readonly memoryBytes?: number;
  /** Of the disk that a system is installed on. */
  readonly diskBytes?: number;
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
  | CopyOp
  | ManualOp
  | FinalizeOp;

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

/** What a person has to do in a virtual machine. */
export interface ManualOp {
  readonly op: 'manual';
  /** Told to the person. */
  readonly text: string;
  /** A command that succeeds in the guest once it is done; absent: the person says so. */
  readonly check: string | undefined;
}

/** Takes out of a virtual machine what images must not have. */
export interface FinalizeOp {
  readonly op: 'finalize';
  /** Further files and directories to remove, as the guest's shell expands them. */
  readonly paths: readonly string[];
}

/** Every operation, in the order in which people are told of them. */
export const OPERATIONS = [
  ...(['comment', 'workdir', 'shell', 'user', 'env', 'run', 'copy'] as const),
  ...(['manual', 'finalize'] as const),
];

/** What makes a result of its own, as other operations do not. */
export type StepOp = RunOp | CopyOp | ManualOp | FinalizeOp;

export function isStep(op: Op): op is StepOp {
  return op.op === 'run' || op.op === 'copy' || op.op === 'manual' || op.op === 'finalize';
}

/** What a step is called, for people. */
export function headingOf(op: StepOp): string {
  switch (op.op) {
    case 'run':
      return `run ${op.shell}`;
    case 'copy':
      return `copy ${op.src.join(' ')} ${op.dst}`;
    case 'manual':
      return `manual ${op.text}`;
    case 'finalize':
      return 'finalize';
  }
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
