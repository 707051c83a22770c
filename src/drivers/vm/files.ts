/**
 * Which driver takes a machine with such files at its top; undefined for what is no machine. A disk alone
 * is for QEMU, which starts others' disks as well.
 */
export function vmDriverOf(names: readonly string[]): string | undefined {
  if (names.includes('config.pvs')) return 'parallels';
  if (names.includes('config.json') && names.includes('nvram.bin')) return 'tart';
  return DISK_NAMES.some((name) => names.includes(name)) ? 'qemu' : undefined;
}

/** What a disk is called in the directory of a machine. */
export const DISK_NAMES: readonly string[] = ['disk.qcow2', 'disk.img', 'disk.raw'];
