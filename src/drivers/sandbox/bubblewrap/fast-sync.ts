/**
 * A seccomp filter that answers calls which wait for a disk with success, as a program for the
 * kernel's packet filter machine. Facts: seccomp(2), linux/filter.h, linux/seccomp.h. Calls by
 * another architecture's numbers (32-bit programs) go through unchanged.
 */

/** fsync, fdatasync, msync, sync, syncfs, sync_file_range. */
const CALLS: Readonly<Record<string, { audit: number; numbers: readonly number[] }>> = {
  x64: { audit: 0xc000003e, numbers: [74, 75, 26, 162, 306, 277] },
  arm64: { audit: 0xc00000b7, numbers: [82, 83, 227, 81, 267, 84] },
};

const LOAD_WORD = 0x20;
const JUMP_IF_EQUAL = 0x15;
const RETURN = 0x06;
const ALLOW = 0x7fff0000;
const ERRNO_ZERO = 0x00050000;
const NUMBER_AT = 0;
const ARCHITECTURE_AT = 4;

/** The filter for this machine; undefined where its system calls are not known. */
export function fastSyncFilter(): Buffer | undefined {
  const calls = CALLS[process.arch];
  if (calls === undefined) return undefined;
  const { audit, numbers } = calls;
  const program: [code: number, ifTrue: number, ifFalse: number, k: number][] = [
    [LOAD_WORD, 0, 0, ARCHITECTURE_AT],
    [JUMP_IF_EQUAL, 0, numbers.length + 1, audit],
    [LOAD_WORD, 0, 0, NUMBER_AT],
    ...numbers.map((number, at): [number, number, number, number] => [
      JUMP_IF_EQUAL,
      numbers.length - at,
      0,
      number,
    ]),
    [RETURN, 0, 0, ALLOW],
    [RETURN, 0, 0, ERRNO_ZERO],
  ];
  const filter = Buffer.alloc(program.length * 8);
  for (const [at, [code, ifTrue, ifFalse, k]] of program.entries()) {
    filter.writeUInt16LE(code, at * 8);
    filter.writeUInt8(ifTrue, at * 8 + 2);
    filter.writeUInt8(ifFalse, at * 8 + 3);
    filter.writeUInt32LE(k, at * 8 + 4);
  }
  return filter;
}
