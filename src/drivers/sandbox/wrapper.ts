import type { SandboxSpec } from './sandbox.ts';

/**
 * The little shell program that every command starts through: it waits to be admitted (a line on
 * descriptor 3), sets the limits that a process sets for itself, joins stderr to stdout so that
 * both stay in order, and becomes the command.
 */
export function wrapped(
  argv: readonly string[],
  options: {
    gated: boolean;
    /**
     * The command reads what comes after the line: from descriptor 3 as it is (`keep`), or from a
     * pipe in its place (`pipe`), which can be opened again by a path.
     */
    rest?: 'keep' | 'pipe';
    ulimits: Readonly<Record<string, number | undefined>>;
    /** A file that the command gets as descriptor 4. */
    open?: string | undefined;
  },
): string[] {
  const lines: string[] = [];
  if (options.gated) lines.push('read -r _ <&3 || exit 125');
  if (options.gated && options.rest === undefined) lines.push('exec 3<&-');
  if (options.open !== undefined) lines.push(`exec 4<${quoted(options.open)} || exit 125`);
  for (const [flag, value] of Object.entries(options.ulimits)) {
    if (value !== undefined) lines.push(`ulimit -${flag} ${Math.floor(value)} || exit 125`);
  }
  if (options.rest === 'pipe') {
    // This shell stays: asked to end, it waits until the command has.
    lines.push('exec 5<&0', 'trap : TERM', 'cat <&3 | { exec 3<&0 <&5 5<&-; exec "$@" 2>&1; }');
  } else {
    lines.push('exec "$@" 2>&1');
  }
  return ['-c', lines.join('\n'), 'sh', ...argv];
}

/** A text as one word of a shell. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Limits left to `ulimit` where control groups do not enforce them. */
export function ulimitsFor(
  spec: SandboxSpec,
  controllers: ReadonlySet<string>,
  ownUid: boolean,
): Record<string, number | undefined> {
  const { openFiles, memoryBytes, processes } = spec.limits;
  return {
    n: openFiles,
    v: memoryBytes === undefined || controllers.has('memory') ? undefined : memoryBytes / 1024,
    // Counted over all processes of the user, so only sound where the worker has a user of its own.
    u: processes === undefined || controllers.has('pids') || !ownUid ? undefined : processes,
  };
}
