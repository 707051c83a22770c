import { SandboxError } from '../sandbox.ts';
import { tool } from '../../../platform/tool.ts';

const PATIENCE_MS = 10_000;
const NOTHING_MATCHED = 1;

/**
 * Kills whatever the user runs until nothing is left. Throws after 10 s: a process that waits in
 * the kernel (state U), for a file system that hangs, ends only with a reboot.
 */
export async function killUser(uid: number): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  for (let wait = 5; ; wait = Math.min(wait * 2, 200)) {
    const { code, why } = await tool('pkill', ['-9', '-U', String(uid)]);
    if (code === NOTHING_MATCHED) return;
    if (performance.now() > deadline) {
      throw new SandboxError(
        'unclean',
        `processes of user ${uid} do not end (ps -U ${uid} shows them)${why === '' ? '' : `: ${why}`}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}
