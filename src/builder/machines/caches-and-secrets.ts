import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { removeTree } from '../../platform/tree.ts';
import { BuildError } from '../build-error.ts';
import type { CacheLease } from '../caches.ts';
import { defaultSecretTarget } from '../spec/spec.ts';
import type { RunOrder } from '../step-order.ts';
import type { Guest } from './guest.ts';
import { LINK_SECRET, SECRETS_DIR } from './guest-scripts.ts';

/** A cache that a step has in its guest. */
export interface CacheInGuest {
  readonly target: string;
  readonly lease: CacheLease;
}

/** What steps leave in caches is copied out of the guest, as it was copied in: a guest's disk is one. */
export async function keepCaches(
  guest: Guest,
  caches: CacheInGuest[],
  signal: AbortSignal,
): Promise<void> {
  for (let [first] = caches; first !== undefined; [first] = caches) {
    const { target, lease } = first;
    for (const name of await readdir(lease.dir)) await removeTree(join(lease.dir, name));
    await guest.copyOut(target, lease.dir, signal);
    await lease.keep();
    // One that is kept needs no dropping any more.
    caches.shift();
  }
}

/** Returns where they are, in the memory of the guest; undefined without any. */
export async function placeSecrets(
  guest: Guest,
  { op, signal }: RunOrder,
  values: ReadonlyMap<string, Buffer>,
  own: string,
): Promise<string | undefined> {
  if (op.secrets.length === 0) return undefined;
  const odd = op.secrets.find(({ id }) => !/^[\w-][\w.-]*$/.test(id));
  if (odd !== undefined) {
    throw new BuildError(
      'unsupported',
      `secret ${odd.id} would be a file of that name in the guest; name it by letters, digits, ".", "_" and "-"`,
    );
  }
  await mkdir(own, { recursive: true, mode: 0o700 });
  for (const [id, value] of values) await writeFile(join(own, id), value, { mode: 0o444 });
  const dir = await guest.script(SECRETS_DIR, [], signal);
  await guest.copyIn(own, dir, signal);
  for (const { id, target } of op.secrets) {
    const linked = guest.script(LINK_SECRET, [`${dir}/${id}`, target], signal);
    // Guests of macOS have no such place; the variable tells where it is.
    if (target === defaultSecretTarget(id)) await linked.catch(() => undefined);
    else await linked;
  }
  return dir;
}
