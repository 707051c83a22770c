import { readFile, readlink, writeFile } from 'node:fs/promises';

const PATIENCE_MS = 10_000;

/**
 * Gives a process that makes a user namespace of its own every id that this process has, as the
 * same number: files keep their owners, while what root may do in it ends at its edge. Waits until
 * the process has made its namespace. Needs root.
 */
export async function giveAllIds(pid: number): Promise<void> {
  const own = await readlink('/proc/self/ns/user');
  const deadline = performance.now() + PATIENCE_MS;
  while ((await readlink(`/proc/${pid}/ns/user`)) === own) {
    if (performance.now() > deadline) {
      throw new Error(`process ${pid} did not make a user namespace in ${PATIENCE_MS / 1000} s`);
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  for (const map of ['uid_map', 'gid_map']) {
    const lines = (await readFile(`/proc/self/${map}`, 'utf8')).trim().split('\n');
    const same = lines.map((line) => {
      const [inside, , count] = line.trim().split(/\s+/);
      return `${inside} ${inside} ${count}\n`;
    });
    await writeFile(`/proc/${pid}/${map}`, same.join(''));
  }
}
