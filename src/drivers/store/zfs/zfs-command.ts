import { setTimeout as delay } from 'node:timers/promises';
import { tool } from '../../../platform/tool.ts';
import { StoreError } from '../store.ts';

/** Destroying much takes long; whatever takes longer hangs. */
const TIMEOUT_MS = 120_000;
const BUSY_TRIES = 12;
const BETWEEN_MS = 100;
/** Names of a million datasets. */
const OUTPUT_BYTES = 2 ** 28;

/** Why ZFS did not do what it was told, as far as it matters here. */
export type ZfsProblem = 'missing' | 'exists' | 'busy' | 'cloned' | 'full' | 'other';

/** Thrown when `zfs` fails. */
export class ZfsError extends Error {
  readonly problem: ZfsProblem;
  constructor(problem: ZfsProblem, message: string) {
    super(message);
    this.name = 'ZfsError';
    this.problem = problem;
  }
}

// In the words of OpenZFS and of zfs-fuse, which differ little.
const PROBLEMS: readonly (readonly [ZfsProblem, RegExp])[] = [
  ['missing', /does not exist|could not find any snapshots|no such (?:pool|dataset)/],
  ['exists', /already exists/],
  ['cloned', /dependent clones|is cloned|has (?:dependents|children)/],
  ['busy', /is busy|umount failed|unmount failed|Resource busy/],
  ['full', /out of space|No space left|quota exceeded/i],
];

/**
 * Runs `zfs`, waiting no longer than two minutes, and returns what it prints; what is busy is tried
 * again for a moment, since a dataset may be so after it was unmounted. Throws `ZfsError`.
 */
export async function zfs(...args: string[]): Promise<string> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await once(args);
    } catch (error) {
      if (!isProblem(error, 'busy') || tries >= BUSY_TRIES) throw error;
    }
    await delay(BETWEEN_MS);
  }
}

async function once(args: readonly string[]): Promise<string> {
  const { code, stdout, why } = await tool('zfs', args, {
    timeoutMs: TIMEOUT_MS,
    outputBytes: OUTPUT_BYTES,
    env: { LC_ALL: 'C' },
  }).catch((cause: unknown) => {
    throw new StoreError('unsupported', 'the command zfs is not there; install ZFS', { cause });
  });
  if (code === 0) return stdout;
  const [problem] = PROBLEMS.find(([, words]) => words.test(why)) ?? ['other' as const];
  throw new ZfsError(problem, `zfs ${args.join(' ')}: ${why}`);
}

/** Lines of what `zfs` lists, each as its fields; none where there is nothing of that name. */
export async function zfsLines(...args: string[]): Promise<string[][]> {
  try {
    const lines = (await zfs(...args)).split('\n');
    return lines.filter((line) => line !== '').map((line) => line.split('\t'));
  } catch (error) {
    if (isProblem(error, 'missing')) return [];
    throw error;
  }
}

/** Was it that, and nothing else? */
export function isProblem(error: unknown, ...problems: readonly ZfsProblem[]): boolean {
  return error instanceof ZfsError && problems.includes(error.problem);
}

/** For `catch`: that problem is none here. */
export function ignoring(...problems: readonly ZfsProblem[]): (error: unknown) => void {
  return (error) => {
    if (!isProblem(error, ...problems)) throw error;
  };
}
