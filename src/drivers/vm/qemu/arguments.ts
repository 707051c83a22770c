import type { VmVolume } from '../vm.ts';
import type { Accelerator } from './accelerator.ts';
import { machineType } from './machine.ts';
import type { VmFiles, VmSettings } from './vm-files.ts';

export interface Machine {
  readonly settings: VmSettings;
  readonly files: Pick<VmFiles, 'disk' | 'pid' | 'qmp' | 'vnc'>;
  /** The key that is to let in, as a line of `authorized_keys`. */
  readonly publicKey: string;
  readonly accelerator: Accelerator;
  /** What QEMU's own process may not do can be taken from it. */
  readonly seccomp: boolean;
}

/** Name of the port that leads to the guest's SSH. */
export const GUEST_SSH_PORT = 22;
/** Comes with QEMU, which finds it. */
const ARM_FIRMWARE = 'edk2-aarch64-code.fd';
/** Last bytes kept of what the guest prints on its console. */
const CONSOLE_BYTES = 2 ** 14;

/**
 * QEMU's arguments for one VM: nothing but a disk, a screen with keyboard and mouse, a network card behind QEMU's own address
 * translation, a console and a source of randomness. The host's loopback device has the port that
 * leads to the guest's SSH; QEMU takes a free one. Guests with systemd take the key and the host name
 * as credentials (systemd.system-credentials(7)); others read the same strings from SMBIOS.
 */
export function qemuArguments(machine: Machine): string[] {
  const { settings, files, publicKey, accelerator, seccomp } = machine;
  const { identity } = settings;
  const forward = `hostfwd=tcp:127.0.0.1:0-:${GUEST_SSH_PORT}`;
  const key = Buffer.from(publicKey).toString('base64');
  return [
    ...['-name', `guest=${escaped(settings.name)}`, '-nodefaults', '-no-user-config'],
    ...screenArguments(files.vnc),
    ...['-pidfile', files.pid],
    ...['-machine', machineType(settings.arch), '-accel', accelerator, '-cpu', 'max'],
    ...(settings.arch === 'arm64' && settings.kernel === undefined ? ['-bios', ARM_FIRMWARE] : []),
    ...['-smp', String(settings.cpus), '-m', `${Math.floor(settings.memoryBytes / 2 ** 20)}M`],
    ...(seccomp ? ['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny'] : []),
    ...['-qmp', `unix:${escaped(files.qmp)},server=on,wait=off`],
    ...['-chardev', `ringbuf,id=console,size=${CONSOLE_BYTES}`, '-serial', 'chardev:console'],
    // A worker's disk does not outlive a crash of its host: nothing waits for it to be flushed.
    ...[
      '-drive',
      `if=none,id=disk,file=${escaped(files.disk)},format=qcow2,cache=unsafe,discard=unmap`,
    ],
    ...['-device', 'virtio-blk-pci,drive=disk'],
    ...(settings.volumes ?? []).flatMap(volumeArguments),
    ...['-netdev', `user,id=net,${forward},hostname=${escaped(identity.hostName)}`],
    ...['-device', `virtio-net-pci,netdev=net,mac=${identity.mac}`],
    ...['-device', 'virtio-rng-pci', '-uuid', identity.uuid],
    ...['-smbios', `type=1,serial=${identity.serial}`],
    ...credential(`ssh.authorized_keys.root=${key}`, '.binary'),
    ...credential(`system.hostname=${identity.hostName}`),
    ...fileOption('-kernel', settings.kernel),
    ...fileOption('-initrd', settings.initrd),
    ...fileOption('-append', settings.cmdline),
  ];
}

/** What outlives the guest is written as a disk is. */
function volumeArguments({ name, path }: VmVolume, index: number): string[] {
  const drive = `if=none,id=volume${index},file=${escaped(path)},format=raw,cache=writeback,discard=unmap`;
  const device = `virtio-blk-pci,drive=volume${index},serial=${escaped(name)}`;
  return ['-drive', drive, '-device', device];
}

/** A screen for people who look into it, at a socket that only this user can open. */
function screenArguments(socket: string): string[] {
  const devices = ['virtio-gpu-pci', 'qemu-xhci', 'usb-kbd', 'usb-tablet'];
  return [
    '-display',
    `vnc=unix:${escaped(socket)}`,
    ...devices.flatMap((each) => ['-device', each]),
  ];
}

function credential(text: string, form = ''): string[] {
  return ['-smbios', `type=11,value=io.systemd.credential${form}:${escaped(text)}`];
}

function fileOption(option: string, value: string | undefined): string[] {
  return value === undefined ? [] : [option, value];
}

/** In QEMU's lists of options a comma stands for itself when it is doubled. */
function escaped(value: string): string {
  return value.replaceAll(',', ',,');
}
