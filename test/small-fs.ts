import { execFile } from 'node:child_process';
import { mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Why `smallFs` cannot be used here; false when it can. For the `skip` option of a test. */
export const NO_SMALL_FS =
  process.platform === 'linux' && process.getuid?.() === 0
    ? false
    : 'mounting a small file system needs Linux and root';

/** Directory on a file system of its own that holds only `bytes`. It ends with the test. */
export async function smallFs(t: TestContext, bytes: number): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'pomona-small-'));
  await run('mount', ['-t', 'tmpfs', '-o', `size=${bytes},mode=0700`, 'pomona-test', dir]);
  t.after(async () => {
    await run('umount', ['--lazy', dir]);
    await rmdir(dir);
  });
  return dir;
}
