import type { VmSettings } from './vm-files.ts';

export type Arch = VmSettings['arch'];

export function qemuProgram(arch: Arch): string {
  return arch === 'arm64' ? 'qemu-system-aarch64' : 'qemu-system-x86_64';
}

export function machineType(arch: Arch): string {
  return arch === 'arm64' ? 'virt' : 'q35';
}
