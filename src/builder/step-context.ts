import { posix } from 'node:path';
import { DEFAULT_SHELL, type Op, type User } from './spec/spec.ts';

/** What operations set for those that follow. */
export interface StepContext {
  readonly workdir: string;
  readonly shell: readonly string[];
  readonly user: User;
  /** Newest first, as OBuilder keeps it. */
  readonly env: readonly (readonly [string, string])[];
}

/** Where a build begins, over a base that brings an environment. */
export function initialContext(env: Readonly<Record<string, string>> = {}): StepContext {
  return {
    workdir: '/',
    shell: DEFAULT_SHELL,
    user: { uid: 0, gid: 0 },
    env: Object.entries(env),
  };
}

/** What holds after an operation; `run` and `copy` change nothing. */
export function nextContext(context: StepContext, op: Op): StepContext {
  switch (op.op) {
    case 'workdir':
      return { ...context, workdir: joined(context.workdir, op.dir) };
    case 'shell':
      return { ...context, shell: op.argv };
    case 'user':
      return { ...context, user: op.user };
    case 'env':
      return {
        ...context,
        env: [[op.name, op.value], ...context.env.filter(([name]) => name !== op.name)],
      };
    case 'comment':
    case 'run':
    case 'copy':
    case 'manual':
    case 'finalize':
      return context;
  }
}

/** A path as it is meant in a working directory; an ending `/` stays. */
export function joined(workdir: string, path: string): string {
  return posix.isAbsolute(path) ? path : posix.join(workdir, path);
}
