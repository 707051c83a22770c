import { access, constants } from 'node:fs/promises';
import { tool } from '../../../platform/tool.ts';
import { machineType, qemuProgram, type Arch } from './machine.ts';

export type Accelerator = 'kvm' | 'hvf' | 'tcg';

const TRY_MS = 5_000;

/**
 * How guests run fastest here: by KVM, by macOS's Hypervisor framework, or emulated (`tcg`). KVM is
 * tried with a machine that has nothing to boot from and so ends at once: inside other virtual
 * machines its device is often there and fails, or hangs.
 */
export async function findAccelerator(arch: Arch): Promise<Accelerator> {
  if (process.platform === 'darwin') return 'hvf';
  try {
    await access('/dev/kvm', constants.R_OK | constants.W_OK);
  } catch {
    return 'tcg';
  }
  // Only a PC has a BIOS that gives up when there is nothing to boot from.
  if (arch !== 'x64') return 'kvm';
  const args = [
    ...['-nodefaults', '-display', 'none', '-machine', machineType(arch), '-cpu', 'max'],
    ...['-accel', 'kvm', '-m', '64M', '-boot', 'reboot-timeout=1', '-no-reboot'],
  ];
  const { code } = await tool(qemuProgram(arch), args, { timeoutMs: TRY_MS });
  return code === 0 ? 'kvm' : 'tcg';
}
