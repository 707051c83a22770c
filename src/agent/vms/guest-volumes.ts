import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { VolumeUse } from '../../domain/worker.ts';
import { VmError, type VmDriver, type VmVolume } from '../../drivers/vm/vm.ts';
import { isMissing } from '../../platform/atomic-file.ts';

const DISK = 'disk.img';
const SAID_CHARACTERS = 500;
/** For a guest to write all that it has to its volumes. */
const FLUSH_MS = 60_000;
const GRACE_MS = 30_000;

/** NAME PATH: makes a volume be found at a path, whichever way it came into the guest. */
const MOUNT = `
name=$1 path=$2
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
shared="/Volumes/My Shared Files/$name"
if [ -d "$shared" ]; then
  mkdir -p "$(dirname "$path")" && rm -rf "$path" && exec ln -sfn "$shared" "$path"
fi
for serial in /sys/block/*/serial; do
  [ "$(cat "$serial" 2>/dev/null)" = "$name" ] && device=/dev/$(basename "$(dirname "$serial")")
done
[ -n "\${device:-}" ] || { echo "no disk or share of this guest is the volume $name" >&2; exit 1; }
mkdir -p "$path" || as_root mkdir -p "$path" || exit
if ! as_root mount "$device" "$path" 2>/dev/null; then
  if as_root head -c 1048576 "$device" | tr -d '\\0' | grep -q .; then
    echo "the volume $name has no file system that this guest can mount" >&2; exit 1
  fi
  as_root mkfs.ext4 -q "$device" 2>/dev/null || as_root mkfs.ext2 "$device" >/dev/null || exit
  as_root mount "$device" "$path" || exit
  as_root chown "$(id -u):$(id -g)" "$path"
fi
`;

/** What a driver attaches: a directory, or a disk in it, which is made. */
export async function vmVolume(
  driver: VmDriver,
  { name, sizeBytes }: VolumeUse,
  dir: string,
): Promise<VmVolume> {
  switch (driver.capabilities.volumes) {
    case 'share':
      return { name, path: dir };
    case 'disk': {
      const path = join(dir, DISK);
      await makeDisk(path, sizeBytes);
      return { name, path };
    }
    case 'none':
      throw new VmError('bad_image', `VM driver ${driver.name} has no volumes`);
  }
}

/** An empty disk takes no room; one that is there stays as it is. */
async function makeDisk(path: string, bytes: number): Promise<void> {
  try {
    await (await open(path, 'r')).close();
  } catch (error) {
    if (!isMissing(error)) throw error;
    const file = await open(path, 'wx', 0o600);
    try {
      await file.truncate(bytes);
    } finally {
      await file.close();
    }
  }
}

/** Makes a running guest's volumes be found where its jobs look for them. Throws `VmError`. */
export async function mountVolumes(
  driver: VmDriver,
  vm: string,
  uses: readonly VolumeUse[],
  signal: AbortSignal,
): Promise<void> {
  for (const { name, path } of uses) {
    let said = '';
    const onOutput = async (chunk: Uint8Array) =>
      void (said = (said + Buffer.from(chunk).toString()).slice(-SAID_CHARACTERS));
    const argv = ['sh', '-c', MOUNT, 'pomona', name, path];
    const { exitCode } = await driver.exec(vm, { argv, env: {}, onOutput }, signal);
    if (exitCode === 0) continue;
    throw new VmError('boot_failed', `volume ${name} cannot be had in VM ${vm}: ${said.trim()}`);
  }
}

/** Has a guest write all to its volumes and shut down. False when it did not come to that. */
export async function flushVolumes(driver: VmDriver, vm: string): Promise<boolean> {
  try {
    const command = { argv: ['sync'], env: {}, onOutput: async () => undefined };
    const { exitCode } = await driver.exec(vm, command, AbortSignal.timeout(FLUSH_MS));
    if (exitCode !== 0) return false;
    await driver.stop(vm, GRACE_MS);
    return true;
  } catch {
    return false;
  }
}
