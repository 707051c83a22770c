import type { Launch } from '../../drivers/sandbox/sandbox.ts';

/** How to look into a worker: a command that wants a terminal, or a socket that says RFB. */
export type WayIn =
  | {
      readonly kind: 'command';
      readonly launch: Launch;
      /** A directory of the worker, on the host, for what starting it needs. */
      readonly dir: string;
    }
  | { readonly kind: 'socket'; readonly path: string };

/** Becomes the user's own shell, where that is known, or the best there is. */
export const SHELL_COMMAND: readonly string[] = [
  'sh',
  '-c',
  'export TERM=xterm-256color BASH_SILENCE_DEPRECATION_WARNING=1\n' +
    'if [ -x /bin/bash ]; then exec /bin/bash -l; fi\nexec /bin/sh -l',
];
