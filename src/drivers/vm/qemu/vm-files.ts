import { createHash, randomBytes } from 'node:crypto';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { hostNameOf } from '../guest-name.ts';
import type { VmVolume } from '../vm.ts';

/**
 * The files of one VM, in a directory of its name:
 *
 * | file       | what                                                                            |
 * |------------|---------------------------------------------------------------------------------|
 * | vm.json    | how to start it; written last: a directory without it is none                   |
 * | disk.qcow2 | what the guest wrote over its image                                             |
 * | pid        | the process that runs it, as QEMU wrote it                                      |
 * | errors     | what that process complained of                                                 |
 * | booted     | identity of the process whose guest ran a command                               |
 * | known_host | the guest's own SSH key                                                         |
 */
export function vmFiles(dir: string, name: string) {
  const vm = join(dir, name);
  return {
    dir: vm,
    settings: join(vm, 'vm.json'),
    disk: join(vm, 'disk.qcow2'),
    pid: join(vm, 'pid'),
    errors: join(vm, 'errors'),
    booted: join(vm, 'booted'),
    knownHost: join(vm, 'known_host'),
    /** Names of sockets are short: not below a directory that the user chose. */
    qmp: join(socketsDir(dir), `${digestOf(name)}.qmp`),
    vnc: join(socketsDir(dir), `${digestOf(name)}.vnc`),
  } as const;
}

export type VmFiles = ReturnType<typeof vmFiles>;

/** A directory of this user's own for the sockets of one driver. */
export function socketsDir(dir: string): string {
  return join(tmpdir(), `pomona-qemu-${userInfo().uid}-${digestOf(dir)}`);
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}

/** vm.json */
export interface VmSettings {
  readonly name: string;
  readonly arch: 'x64' | 'arm64';
  readonly cpus: number;
  readonly memoryBytes: number;
  /** Absolute paths of what a guest starts from that has no boot loader of its own. */
  readonly kernel?: string;
  readonly initrd?: string;
  readonly cmdline?: string;
  readonly user: string;
  /** Raw disks beside its own. */
  readonly volumes?: readonly VmVolume[];
  readonly identity: VmIdentity;
}

/** What tells a clone from all others. */
export interface VmIdentity {
  readonly mac: string;
  readonly uuid: string;
  readonly serial: string;
  readonly hostName: string;
}

/**
 * A fresh one, or always the same one of a text. The network address is of the range that QEMU's are
 * of by custom.
 */
export function newIdentity(name: string, sameFor?: string): VmIdentity {
  const bytes =
    sameFor === undefined ? randomBytes(27) : createHash('sha256').update(sameFor).digest();
  const hex = (from: number, to: number) => bytes.subarray(from, to).toString('hex');
  const version = `4${hex(9, 11).slice(1)}-${(((bytes[11] ?? 0) & 0x3f) | 0x80).toString(16)}`;
  return {
    mac: `52:54:00:${hex(0, 1)}:${hex(1, 2)}:${hex(2, 3)}`,
    uuid: `${hex(3, 7)}-${hex(7, 9)}-${version}${hex(12, 13)}-${hex(13, 19)}`,
    serial: hex(19, 27).toUpperCase(),
    hostName: hostNameOf(sameFor ?? name),
  };
}
