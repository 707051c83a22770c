import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing } from '../../../platform/atomic-file.ts';
import { tool } from '../../../platform/tool.ts';
import { DISK_NAMES } from '../files.ts';
import { VmError } from '../vm.ts';

/** What an image has for QEMU. All paths are absolute. */
export interface BaseImage {
  readonly disk: string;
  readonly format: 'raw' | 'qcow2';
  readonly kernel?: string;
  readonly initrd?: string;
  readonly cmdline?: string;
}

/**
 * Looks at an image: a disk, raw or qcow2, or a directory of `disk.qcow2` or `disk.img` and, for
 * disks without a boot loader, `vmlinuz`, `initrd.img` and `cmdline` (the kernel's, in one line).
 * Throws `VmError` `bad_image`.
 */
export async function baseImage(name: string, path: string): Promise<BaseImage> {
  if (!(await stat(path)).isDirectory()) return diskOf(name, path);
  for (const file of DISK_NAMES) {
    const disk = join(path, file);
    if (!(await isThere(disk))) continue;
    const [kernel, initrd] = [join(path, 'vmlinuz'), join(path, 'initrd.img')];
    if (!(await isThere(kernel))) return diskOf(name, disk);
    return {
      ...(await diskOf(name, disk)),
      kernel,
      ...((await isThere(initrd)) ? { initrd } : {}),
      cmdline: await cmdlineIn(path),
    };
  }
  throw new VmError(
    'bad_image',
    `image ${name} has no disk for QEMU: expected a disk, or a directory with ${DISK_NAMES.join(' or ')}`,
  );
}

async function diskOf(name: string, disk: string): Promise<BaseImage> {
  const { code, stdout, why } = await tool('qemu-img', ['info', '-U', '--output=json', disk]);
  if (code !== 0) throw new VmError('bad_image', `image ${name} cannot be read by QEMU: ${why}`);
  const info = JSON.parse(stdout) as { format: string } & Record<string, unknown>;
  // Any file of this host would be readable in the guest.
  if (info['backing-filename'] !== undefined || stdout.includes('"data-file"')) {
    throw new VmError(
      'bad_image',
      `image ${name} refers to another file; make it whole: \`qemu-img convert -O qcow2 FILE NEW\``,
    );
  }
  const { format } = info;
  if (format !== 'raw' && format !== 'qcow2') {
    throw new VmError(
      'bad_image',
      `image ${name} is of the format ${format}; convert it: \`qemu-img convert -O qcow2 FILE NEW\``,
    );
  }
  return { disk, format };
}

async function cmdlineIn(path: string): Promise<string> {
  try {
    return (await readFile(join(path, 'cmdline'), 'utf8')).trim();
  } catch (error) {
    if (isMissing(error)) return 'root=/dev/vda console=ttyS0';
    throw error;
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
